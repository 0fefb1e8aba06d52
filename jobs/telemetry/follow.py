"""Following events from the event loop, without a connection or a thread of one's own."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from django.db import connection

from jobs.telemetry import current_sink
from jobs.telemetry.event import Event, Piece, Wanted
from jobs.telemetry.hub import Hub

logger = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT_S: Final = 15.0
PAGE: Final = 500
AWAY_S: Final = 2.0

# Readers that are behind share two threads; those that keep up need none.
_READERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="telemetry-reader")


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing has happened up to `position` that the reader wants to see."""

    position: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What the reader has not seen up to `position` is not kept any more."""

    after: int
    position: int


async def follow(
    wanted: Wanted, *, after: int | None, lasting_s: float
) -> AsyncGenerator[Event | Beat | Gap, None]:
    """Yield what is wanted behind `after` (None: from now on), in order, each event once.

    Begins with a Beat or, for a position that has been pruned or never was, a Gap; then a Beat
    whenever HEARTBEAT_S have passed in silence, and a Gap should the sink be set back. While the
    database is away it waits. Ends after `lasting_s` seconds.
    """
    hub = _hub()
    seat = hub.join()
    try:
        position, begun = await _begin(after)
        yield begun
        until = time.monotonic() + lasting_s
        beat_at = time.monotonic() + HEARTBEAT_S
        while time.monotonic() < until:
            seat.clear()
            piece = await _next(hub, wanted, position)
            shown = [event for event in piece.events if wanted.takes(event)]
            for event in shown:
                yield event
            if piece.reached < position:
                yield Gap(position, piece.reached)
            is_behind, position = piece.reached > position, piece.reached
            if shown or time.monotonic() >= beat_at:
                beat_at = time.monotonic() + HEARTBEAT_S
                if not shown:
                    yield Beat(position)
            if not is_behind:
                await seat.wait(max(min(beat_at, until) - time.monotonic(), 0.01))
    finally:
        hub.leave(seat)


async def _begin(after: int | None) -> tuple[int, Beat | Gap]:
    """Return where to begin, and how that differs from where the reader wanted to."""
    first, last = await _patiently(lambda: current_sink().bounds())
    if after is None:
        return last, Beat(last)
    position = min(max(after, first - 1), last)
    return position, Beat(after) if position == after else Gap(after, position)


async def _next(hub: Hub, wanted: Wanted, after: int) -> Piece:
    """Return what follows: from memory for a reader that keeps up, else from the sink."""
    piece = hub.since(after)
    if piece is not None:
        return piece
    return await _patiently(lambda: current_sink().read(after=after, wanted=wanted, limit=PAGE))


async def _patiently(read: Callable[[], T]) -> T:
    """Read in a thread of ours, again and again while the database is away."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(_READERS, _read, read)
        except Exception as error:
            logger.warning("telemetry cannot be read: %s", error)
            await asyncio.sleep(AWAY_S)


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    finally:
        connection.close()


@functools.cache
def _hub() -> Hub:
    return Hub(current_sink())
