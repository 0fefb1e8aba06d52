# mypy: ignore-errors
"""Oban: `worker` runs a server of one queue with a limit of 100; else the client's commands."""

from __future__ import annotations

import asyncio
import signal
import sys

import effects
import orjson
from oban import Oban, worker
from oban.schema import install
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

# As `oban start` does.
set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)


@worker(queue="bench")
class Noop:
    async def process(self, job):
        effects.noop(job.args["number"])


@worker(queue="bench")
class Durable:
    async def process(self, job):
        await effects.durable_async(job.args["number"])


WORKERS = {"noop": Noop, "durable": Durable}


async def open_pool():
    pool = AsyncConnectionPool(effects.DSN, min_size=1, max_size=10, open=False)
    await pool.open(wait=True)
    return pool


class Peer:
    async def open(self):
        self.pool = await open_pool()
        self.oban = Oban(pool=self.pool)

    async def reset(self):
        async with self.pool.connection() as connection:
            found = await connection.execute("SELECT to_regclass('oban_jobs')")
            there = (await found.fetchone())[0]
        if not there:
            await install(self.pool)
        async with self.pool.connection() as connection:
            await connection.execute("TRUNCATE oban_jobs, oban_leaders, oban_producers")

    async def one(self, kind, number):
        await self.oban.enqueue(WORKERS[kind].new({"number": number}))

    async def many(self, kind, numbers):
        new = WORKERS[kind].new
        await self.oban.enqueue_many([new({"number": number}) for number in numbers])


async def serve():
    pool = await open_pool()
    await effects.pool()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with Oban(pool=pool, queues={"bench": 100}):
        await over.wait()


if __name__ == "__main__":
    import oban_peer

    if sys.argv[1] == "worker":
        import uvloop

        uvloop.run(oban_peer.serve())
    else:
        import client

        client.main(client.Awaited(oban_peer.Peer()))
