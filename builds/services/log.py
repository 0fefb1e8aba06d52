"""Write a build's log while its builder is running (B-05)."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from typing import Final

from django.db import transaction
from django.db.models import Max

from builds.models import BuildLogLine
from jobs.context import JobContext

BATCH_LINES: Final = 100
LINE_CHARS: Final = 2_000
MAX_LINES: Final = 10_000
MAX_CHARS: Final = 1_000_000
LIMIT_REACHED: Final = "The log has reached its limit: what the builder says from here is not kept."


class LogWriter:
    """Collects lines and stores them in batches, each a short transaction.

    Every batch asserts the job's lease, so a worker that has lost it writes nothing, and numbers
    its lines under that lock, so that numbers have no gaps and commit in order. A run keeps
    MAX_LINES lines and MAX_CHARS characters, then says once that it stopped. Lines that could not
    be stored are kept for the next flush. `full` is set when a flush is worth it at once.
    """

    def __init__(self, *, build_id: uuid.UUID, context: JobContext) -> None:
        self._build_id = build_id
        self._context = context
        self.full = threading.Event()
        self._waiting: deque[tuple[str, str]] = deque()
        self._room = (MAX_LINES, MAX_CHARS)
        self._lock = threading.Lock()
        self._storing = threading.Lock()

    def line(self, stream: str, text: str) -> None:
        """Take one line of the builder's output; called from any thread, never blocks on I/O."""
        with self._lock:
            lines, chars = self._room
            if lines <= 0 or chars <= 0:
                return
            kept = _storable(text)
            self._room = (lines - 1, chars - len(kept))
            self._waiting.append((stream, kept))
            if self._room[0] <= 0 or self._room[1] <= 0:
                self._waiting.append(("system", LIMIT_REACHED))
            is_full = len(self._waiting) >= BATCH_LINES
        if is_full:
            self.full.set()

    def say(self, text: str) -> None:
        """Add a line of our own; these do not count against the limit."""
        with self._lock:
            self._waiting.append(("system", _storable(text)))

    def flush(self) -> None:
        """Store every line taken so far.

        Raises: LeaseLost; DatabaseError. The lines are kept for another try then.
        """
        with self._storing:
            while batch := self._next_batch():
                with transaction.atomic():
                    self._context.assert_held()
                    _append(self._build_id, batch)
                with self._lock:
                    for _ in batch:
                        self._waiting.popleft()

    def _next_batch(self) -> list[tuple[str, str]]:
        with self._lock:
            return [self._waiting[n] for n in range(min(BATCH_LINES, len(self._waiting)))]


def _append(build_id: uuid.UUID, lines: list[tuple[str, str]]) -> None:
    """Number and insert lines; the job's row is locked, so nobody else is doing the same."""
    seen = BuildLogLine.objects.filter(build_id=build_id).aggregate(last=Max("seq"))["last"] or 0
    BuildLogLine.objects.bulk_create(
        BuildLogLine(build_id=build_id, seq=seq, stream=stream, text=text)
        for seq, (stream, text) in enumerate(lines, start=seen + 1)
    )


def _storable(text: str) -> str:
    """Return the line as PostgreSQL can hold it, cut at LINE_CHARS characters."""
    clean = text.replace("\x00", "�").encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= LINE_CHARS else f"{clean[: LINE_CHARS - 1]}…"
