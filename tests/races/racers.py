"""Threads that start together, again and again, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from django.db import connections

TIMEOUT_S = 60.0
Act = Callable[[], Any]


class Racers:
    """`count` threads; `race` runs one act on each from one barrier and returns what each did.

    A thread keeps its database connection between races, so that acts meet within microseconds
    and not within the time of a connect.
    """

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)
        self._acts: list[SimpleQueue[Act | None]] = [SimpleQueue() for _ in range(count)]
        self._results: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Racers:
        return self

    def __exit__(self, *_: object) -> None:
        for acts in self._acts:
            acts.put(None)
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def race(self, acts: Sequence[Act]) -> list[Any]:
        """Run the acts, one per thread; return results or exceptions in the order of the acts."""
        assert len(acts) == len(self._threads)
        for queue, act in zip(self._acts, acts, strict=True):
            queue.put(act)
        found = dict(self._results.get(timeout=TIMEOUT_S) for _ in acts)
        return [found[number] for number in range(len(acts))]

    def _run(self, number: int) -> None:
        try:
            while (act := self._acts[number].get()) is not None:
                self._barrier.wait(TIMEOUT_S)
                try:
                    self._results.put((number, act()))
                except Exception as error:
                    self._results.put((number, error))
        finally:
            connections.close_all()
