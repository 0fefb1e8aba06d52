# mypy: ignore-errors
"""Our own client: `python -m bench.jobs.ours SHAPE COMMAND ...`, with the peers' commands."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import client
import django


class Ours:
    """Enqueues through the engine's service, each call a transaction of its own."""

    def __init__(self, shape: str) -> None:
        from bench.jobs.kinds.payloads import PAYLOADS
        from jobs.services import enqueue

        self._payloads = {kind: PAYLOADS[shape, kind] for kind in ("noop", "durable")}
        self._enqueue = enqueue.enqueue
        self._enqueue_many = enqueue.enqueue_many

    def reset(self) -> None:
        """Take the emptied Valkey for known, so that nothing is rung for again."""
        from jobs.services.sweep import Sweeper

        Sweeper(lost_after_s=10.0).run()

    def one(self, kind: str, number: int) -> None:
        """Store and ring."""
        self._enqueue(self._payloads[kind](number=number))

    def many(self, kind: str, numbers: range) -> None:
        """Store and ring for all of them."""
        new = self._payloads[kind]
        self._enqueue_many([new(number=number) for number in numbers])


if __name__ == "__main__":
    django.setup()
    client.main(Ours(sys.argv.pop(1)))
