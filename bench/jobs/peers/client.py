# mypy: ignore-errors
"""The commands every peer's program knows: fill, enqueue, latency."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import effects

WARM = 20
CHUNK = 500


def main(peer) -> None:
    """Run the command of the command line with the peer's functions; print one JSON object.

    `peer` has `reset()`, `one(kind, number)` and `many(kind, numbers)`; one that cannot enqueue
    in bulk has `many = None`.
    """
    command, *rest = sys.argv[1:]
    told = {}
    if command == "fill":
        peer.reset()
        _fill(peer, rest[0], range(int(rest[1])))
    elif command == "enqueue":
        told = _enqueue(peer, rest[0], int(rest[1]))
    elif command == "latency":
        _latency(peer, rest[0], int(rest[1]), float(rest[2]))
    else:
        raise SystemExit(f"unknown command {command}")
    print(json.dumps(told))


def _fill(peer, kind, numbers) -> None:
    if peer.many is None:
        for number in numbers:
            peer.one(kind, number)
        return
    for chunk in _chunks(numbers):
        peer.many(kind, chunk)


def _enqueue(peer, how, count):
    peer.reset()
    for _ in range(WARM):
        peer.one("noop", 0)
    if how == "bulk" and peer.many is None:
        return {}
    if how == "bulk":
        peer.many("noop", range(CHUNK))
    started = time.perf_counter()
    if how == "bulk":
        for chunk in _chunks(range(count)):
            peer.many("noop", chunk)
    else:
        for number in range(count):
            peer.one("noop", number)
    return {"count": count, "seconds": time.perf_counter() - started}


def _latency(peer, kind, count, per_s) -> None:
    """Enqueue at a steady pace once the workers have done the first jobs."""
    peer.reset()
    print("reset", flush=True)
    sys.stdin.readline()
    for number in range(WARM):
        peer.one(kind, count + number)
    effects.await_stamps(count, WARM)
    due = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        effects.sent(number)
        peer.one(kind, number)
        due += 1 / per_s


def _chunks(numbers):
    for first in range(0, len(numbers), CHUNK):
        yield numbers[first : first + CHUNK]


class Awaited:
    """A peer with coroutines, run on one event loop."""

    def __init__(self, peer) -> None:
        self._peer = peer
        self._loop = asyncio.new_event_loop()
        self._opened = False

    def _await(self, call, *arguments):
        if not self._opened:
            self._opened = True
            self._loop.run_until_complete(self._peer.open())
        return self._loop.run_until_complete(call(*arguments))

    def reset(self):
        return self._await(self._peer.reset)

    def one(self, kind, number):
        return self._await(self._peer.one, kind, number)

    def many(self, kind, numbers):
        return self._await(self._peer.many, kind, numbers)
