# mypy: ignore-errors
"""Huey: two consumers, `huey_consumer huey_peer.huey -w 4 -k thread`."""

from __future__ import annotations

import effects
from huey import RedisHuey

huey = RedisHuey("bench", url=effects.REDIS, results=False)


@huey.task()
def noop(number):
    effects.noop(number)


@huey.task()
def durable(number):
    effects.durable(number)


TASKS = {"noop": noop, "durable": durable}


class Peer:
    def reset(self):
        pass

    def one(self, kind, number):
        TASKS[kind](number)

    def many(self, kind, numbers):
        TASKS[kind].map([(number,) for number in numbers])


if __name__ == "__main__":
    # The names of tasks come from the module that declares them.
    import client
    from huey_peer import Peer as Named

    client.main(Named())
