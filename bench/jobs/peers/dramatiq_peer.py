# mypy: ignore-errors
"""Dramatiq: `dramatiq dramatiq_peer --processes 2 --threads 8`."""

from __future__ import annotations

import dramatiq
import effects
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=effects.REDIS))


@dramatiq.actor(queue_name="bench")
def noop(number):
    effects.noop(number)


@dramatiq.actor(queue_name="bench")
def durable(number):
    effects.durable(number)


ACTORS = {"noop": noop, "durable": durable}


class Peer:
    many = None

    def reset(self):
        pass

    def one(self, kind, number):
        ACTORS[kind].send(number)


if __name__ == "__main__":
    import client

    client.main(Peer())
