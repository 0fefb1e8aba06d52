# mypy: ignore-errors
"""Stock rq: `worker fork` or `worker simple` starts a pool of two; else the client's commands."""

from __future__ import annotations

import sys

import client
import effects
import psycopg  # noqa: F401 (imported before the fork, as rq's documentation asks)
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.worker_pool import WorkerPool

redis = Redis.from_url(effects.REDIS)
queue = Queue("bench", connection=redis)
FUNCTIONS = {"noop": effects.noop, "durable": effects.durable}


class Peer:
    def reset(self):
        pass

    def one(self, kind, number):
        queue.enqueue(FUNCTIONS[kind], number)

    def many(self, kind, numbers):
        function = FUNCTIONS[kind]
        queue.enqueue_many([Queue.prepare_data(function, (number,)) for number in numbers])


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        kind = {"fork": Worker, "simple": SimpleWorker}[sys.argv[2]]
        pool = WorkerPool([queue], connection=redis, num_workers=2, worker_class=kind)
        pool.start(logging_level="WARNING")
    else:
        client.main(Peer())
