"""Where events go: this process's memory, or the table all processes share."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final, Protocol

from django.db import connection
from django.db.models import Max, Q, QuerySet

from jobs.clients.wakes import Listener, wake
from jobs.clients.wall import inside, outside
from jobs.models import TelemetryEvent
from jobs.telemetry.event import Draft, Event, Piece, Wanted
from jobs.telemetry.writer import Writer

CHANNEL: Final = "flagship:telemetry"
POLL_S: Final = 1.0
"""How often a waiting reader looks when nobody can wake it."""
WOKEN_POLL_S: Final = 5.0
"""How often it looks although Redis would wake it: a message may be lost."""

_INSERT: Final = """
INSERT INTO jobs_telemetryevent (key, name, at, organization_id, source, request_id,
    correlation_id, data)
SELECT key, name, clock_timestamp() - make_interval(secs => age_s), organization_id, source,
    request_id, correlation_id, data
FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS (key uuid, name text, age_s float8,
        organization_id uuid, source text, request_id text, correlation_id text, data jsonb))
    WITH ORDINALITY AS draft (key, name, age_s, organization_id, source, request_id,
        correlation_id, data, place)
ORDER BY place
ON CONFLICT (key) DO NOTHING
"""


class Sink(Protocol):
    """What `jobs.telemetry` needs of a sink. Sequences grow in the order of visibility."""

    @property
    def dropped(self) -> int:
        """How many events it took from this process and gave up."""

    def put(self, draft: Draft) -> None:
        """Take an event; never waits, never raises for the sink being away."""

    def read(self, *, after: int, wanted: Wanted, limit: int) -> Piece:
        """Return events behind a sequence, oldest first, and how far that goes.

        That is below `after` where the sink has been set back: a backup was restored.
        """

    def page(self, *, since: int, before: int | None, wanted: Wanted, limit: int) -> list[Event]:
        """Return events between two sequences (exclusive), newest first."""

    def bounds(self) -> tuple[int, int]:
        """Return the first and last sequence that are kept; (0, 0) when there is none."""

    def flush(self, limit_s: float) -> bool:
        """Wait for what was put to be readable; return whether it is."""

    def waiter(self) -> Waiter:
        """Return something to wait with for the next event."""


class Waiter(Protocol):
    """Waits for events, for one thread."""

    def wait(self, limit_s: float, stop: threading.Event) -> bool:
        """Wait up to `limit_s` seconds; return whether it is worth reading."""

    def close(self) -> None:
        """Give back what waiting takes."""


class MemorySink:
    """The last events of this process; nobody else sees them. For tests and single processes."""

    KEPT: Final = 1_000

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: deque[Event] = deque(maxlen=self.KEPT)
        self._last = 0

    @property
    def dropped(self) -> int:
        """None: the oldest make room once they were seen."""
        return 0

    def put(self, draft: Draft) -> None:
        """Keep the event, at once."""
        with self._changed:
            self._last += 1
            self._events.append(
                Event(
                    self._last,
                    draft.name,
                    datetime.now(UTC),
                    draft.organization_id,
                    draft.source,
                    draft.request_id,
                    draft.correlation_id,
                    draft.data,
                )
            )
            self._changed.notify_all()

    def read(self, *, after: int, wanted: Wanted, limit: int) -> Piece:
        """Return events behind `after`, oldest first."""
        with self._changed:
            found = [e for e in self._events if e.sequence > after and wanted.takes(e)]
            reached = self._last if len(found) <= limit else found[limit - 1].sequence
        return Piece(found[:limit], reached)

    def page(self, *, since: int, before: int | None, wanted: Wanted, limit: int) -> list[Event]:
        """Return events between, newest first."""
        with self._changed:
            events = [e for e in reversed(self._events) if wanted.takes(e)]
        return [
            e for e in events if e.sequence > since and (before is None or e.sequence < before)
        ][:limit]

    def bounds(self) -> tuple[int, int]:
        """Return first and last sequence."""
        with self._changed:
            return (self._events[0].sequence, self._last) if self._events else (0, 0)

    def flush(self, limit_s: float) -> bool:
        """Everything is there already."""
        return True

    def waiter(self) -> Waiter:
        """Return a waiter on this sink."""
        return _MemoryWaiter(self._changed)


class _MemoryWaiter:
    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed

    def wait(self, limit_s: float, stop: threading.Event) -> bool:
        with self._changed:
            return self._changed.wait(min(limit_s, 0.2))

    def close(self) -> None:
        """Nothing was taken."""


class SharedSink:
    """The table, written behind the work and read in the order of commits."""

    def __init__(self) -> None:
        self._writer = Writer(store, rest)
        self.put = self._writer.put
        self.flush = self._writer.flush

    @property
    def dropped(self) -> int:
        """Those that waited longest while the database was away."""
        return self._writer.dropped

    def read(self, *, after: int, wanted: Wanted, limit: int) -> Piece:
        """Return events behind `after`, oldest first; one page and how far it has looked."""
        with outside():
            last = _last()
        rows = _matching(wanted).filter(sequence__gt=after, sequence__lte=last)
        with _sight(wanted):
            events = [_event(row) for row in rows.order_by("sequence")[:limit]]
        return Piece(events, events[-1].sequence if len(events) == limit else last)

    def page(self, *, since: int, before: int | None, wanted: Wanted, limit: int) -> list[Event]:
        """Return events between, newest first."""
        rows = _matching(wanted).filter(sequence__gt=since)
        if before is not None:
            rows = rows.filter(sequence__lt=before)
        with _sight(wanted):
            return [_event(row) for row in rows.order_by("-sequence")[:limit]]

    def bounds(self) -> tuple[int, int]:
        """Return first and last sequence kept."""
        first = TelemetryEvent.objects.order_by("sequence").values_list("sequence", flat=True)
        with outside():
            return first.first() or 0, _last()

    def waiter(self) -> Waiter:
        """Return a waiter that Redis wakes and that polls anyway."""
        return _SharedWaiter()


class _SharedWaiter:
    def __init__(self) -> None:
        self._listener = Listener(CHANNEL)
        self._looked_at = time.monotonic()

    def wait(self, limit_s: float, stop: threading.Event) -> bool:
        woken = self._listener.wait(min(limit_s, POLL_S), stop)
        poll_s = WOKEN_POLL_S if self._listener.is_listening else POLL_S
        if woken or time.monotonic() - self._looked_at >= poll_s:
            self._looked_at = time.monotonic()
            return True
        return False

    def close(self) -> None:
        self._listener.close()


def store(drafts: list[Draft]) -> None:
    """Insert drafts in their order with one statement, which commits by itself; wake readers.

    Writing the same drafts again changes nothing. Raises: django.db.Error. The connection stays
    the thread's for the next ones, unless it is a pool's: a new one for each burst costs the
    database more than the events. `rest` gives it back.
    """
    now_s = time.monotonic()
    told = [
        {
            "key": str(draft.key),
            "name": draft.name,
            "age_s": max(now_s - draft.published_s, 0.0),
            "organization_id": draft.organization_id and str(draft.organization_id),
            "source": draft.source,
            "request_id": draft.request_id,
            "correlation_id": draft.correlation_id,
            "data": draft.data,
        }
        for draft in drafts
    ]
    try:
        with outside(), connection.cursor() as cursor:
            cursor.execute(_INSERT, [json.dumps(told)])
    finally:
        connection.close_if_unusable_or_obsolete()
    wake(CHANNEL)


def rest() -> None:
    """Give the thread's connection back: between events telemetry costs the database nothing."""
    connection.close()


def _matching(wanted: Wanted) -> QuerySet[TelemetryEvent]:
    """Return what `wanted.takes`, in SQL."""
    rows = TelemetryEvent.objects.all()
    if not wanted.everyone:
        mine = Q(organization_id__isnull=True) if wanted.platform else Q()
        if wanted.organization_id is not None:
            mine |= Q(organization_id=wanted.organization_id)
        rows = rows.filter(mine) if mine else rows.none()
    if wanted.name.endswith(".*"):
        return rows.filter(name__startswith=wanted.name[:-1])
    return rows.filter(name=wanted.name) if wanted.name else rows


def _sight(wanted: Wanted) -> AbstractContextManager[object]:
    """Let statements see one organization's events and the platform's, unless more are wanted."""
    if wanted.everyone or wanted.organization_id is None:
        return outside()
    return inside(wanted.organization_id)


def _last() -> int:
    """Return the newest number there is: everything below it has committed or never will."""
    found: int | None = TelemetryEvent.objects.aggregate(last=Max("sequence"))["last"]
    return found or 0


def _event(row: TelemetryEvent) -> Event:
    return Event(
        row.sequence,
        row.name,
        row.at,
        row.organization_id,
        row.source,
        row.request_id,
        row.correlation_id,
        row.data,
    )
