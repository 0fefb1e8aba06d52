# mypy: ignore-errors
"""Procrastinate: two of `procrastinate --app procrastinate_peer.app worker --concurrency 10`."""

from __future__ import annotations

import effects
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=effects.DSN, max_size=12))


@app.task(name="noop", queue="bench")
async def noop(number):
    effects.noop(number)


@app.task(name="durable", queue="bench")
async def durable(number):
    await effects.durable_async(number)


TASKS = {"noop": noop, "durable": durable}


class Peer:
    async def open(self):
        await app.open_async()

    async def reset(self):
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async(
            "TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_workers CASCADE"
        )

    async def one(self, kind, number):
        await TASKS[kind].defer_async(number=number)

    async def many(self, kind, numbers):
        await TASKS[kind].batch_defer_async(*[{"number": number} for number in numbers])


if __name__ == "__main__":
    import client
    from procrastinate_peer import Peer as Named

    client.main(client.Awaited(Named()))
