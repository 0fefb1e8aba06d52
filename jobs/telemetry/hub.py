"""One reader of the sink for all the streams of a process."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import Final

from django.db import connection

from jobs.telemetry.event import EVERYTHING, Event, Piece
from jobs.telemetry.sinks import Sink, Waiter

logger = logging.getLogger(__name__)

RING: Final = 1_000
PAGE: Final = 500
AWAY_S: Final = 1.0


class Seat:
    """One stream's place at the hub; belongs to the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def clear(self) -> None:
        """Forget earlier news; call it before looking."""
        self._news.clear()

    async def wait(self, limit_s: float) -> None:
        """Wait for news, `limit_s` seconds at most."""
        try:
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        except TimeoutError:
            return

    def tell(self) -> None:
        """Say from any thread that there is news."""
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # its loop is closed: nobody waits there any more
            return


class Hub:
    """Reads new events once, in a thread that lives while somebody follows, and keeps the last.

    A stream that keeps up is served from memory: it costs the database nothing. Between reads the
    thread holds no connection either.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._seats: set[Seat] = set()
        self._ring: deque[Event] = deque()
        self._thread: threading.Thread | None = None
        self._floor = self._last = -1
        self._left = threading.Event()

    def join(self) -> Seat:
        """Take part; call `leave` in the end."""
        seat = Seat()
        with self._lock:
            self._seats.add(seat)
            self._left.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telemetry-hub", daemon=True)
                self._thread.start()
        return seat

    def leave(self, seat: Seat) -> None:
        """Take part no more."""
        with self._lock:
            self._seats.discard(seat)
            if not self._seats:
                self._left.set()

    def since(self, after: int) -> Piece | None:
        """Return the events behind `after`; None when they are not in memory."""
        with self._lock:
            if not self._floor <= after <= self._last:
                return None
            found: list[Event] = []
            for event in reversed(self._ring):
                if event.sequence <= after:
                    break
                found.append(event)
            return Piece(found[::-1], self._last)

    def _run(self) -> None:
        waiter, is_away = self._sink.waiter(), False
        while self._goes_on():
            try:
                self._read(waiter)
                is_away = False
            except Exception as error:
                if not is_away:
                    logger.warning("telemetry cannot be read: %s", error)
                is_away = True
                connection.close()
                self._left.wait(AWAY_S)
        waiter.close()

    def _goes_on(self) -> bool:
        """Tell whether anybody follows; when nobody does, forget everything and end."""
        with self._lock:
            if self._seats:
                return True
            self._thread = None
            self._ring.clear()
            self._floor = self._last = -1
            return False

    def _read(self, waiter: Waiter) -> None:
        """Read one page, or wait a moment for there to be one."""
        if self._floor < 0:
            self._begin(self._sink.bounds()[1])
        piece = self._sink.read(after=self._last, wanted=EVERYTHING, limit=PAGE)
        if piece.reached < self._last:
            self._begin(piece.reached)  # the sink was set back
        if piece.events:
            self._keep(piece)
            return
        connection.close()
        while not self._left.is_set() and not waiter.wait(1.0, self._left):
            continue

    def _begin(self, position: int) -> None:
        with self._lock:
            self._ring.clear()
            self._floor = self._last = position
            for seat in self._seats:
                seat.tell()

    def _keep(self, piece: Piece) -> None:
        with self._lock:
            self._ring.extend(piece.events)
            while len(self._ring) > RING:
                self._floor = self._ring.popleft().sequence
            self._last = piece.reached
            for seat in self._seats:
                seat.tell()
