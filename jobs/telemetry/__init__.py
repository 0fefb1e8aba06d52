"""What happens, for those who watch it happen (O-02; docs/telemetry.md).

`publish` says that something has happened, `subscribe` follows, `list_events` looks back. Where
events go is TELEMETRY_SINK: `shared`, one table for all processes, or `memory`, this process only.
Telemetry is a picture and may have a hole when a process is killed; what must never be missing is
an audit event (`flagship.services.audit.record`), what is counted a metric.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from jobs.ids import new_id
from jobs.telemetry.event import (
    EVERYTHING,
    NAME,
    NAME_CHARS,
    Draft,
    Event,
    Piece,
    Wanted,
    clean,
)
from jobs.telemetry.limit import Limiter
from jobs.telemetry.sinks import MemorySink, SharedSink, Sink
from jobs.trace import current_trace

__all__ = [
    "EVERYTHING",
    "Event",
    "Piece",
    "Wanted",
    "current_sink",
    "dropped",
    "flush",
    "identify",
    "list_events",
    "publish",
    "subscribe",
]

logger = logging.getLogger(__name__)
_identity: dict[int, str] = {}
# By process: a fork may have copied a lock that another thread held.
_limiters: dict[int, Limiter] = {}


def publish(name: str, *, organization_id: uuid.UUID | None = None, **data: Any) -> None:
    """Publish an event; it can be read a moment later, if the caller's transaction commits.

    Never raises and never waits: the event is handed to a thread of this process once the
    transaction has committed (at once where there is none), and written in a statement of its
    own. So what was rolled back is not told, and a database that is slow or away costs the caller
    nothing; a process killed within that moment takes the event with it.

    `name` is `<noun>.<what happened>`; `data` is small JSON without secrets (see `event.clean`),
    named in snake_case here and camelCase there. The ids of the current trace are added. Beyond
    TELEMETRY_EVENTS_PER_S events are dropped and counted, and `telemetry.dropped` tells of it.
    """
    try:
        if not NAME.fullmatch(name) or len(name) > NAME_CHARS:
            raise ValueError(f"not a name of an event: {name!r}")
        limiter = _limiter()
        if limiter.admits(settings.TELEMETRY_EVENTS_PER_S):
            put = partial(current_sink().put, _draft(name, organization_id, data))
            if connection.in_atomic_block:
                transaction.on_commit(put, robust=True)
            else:
                put()
        _report(limiter.unreported())
    except Exception:
        logger.exception("the event %s was not published", name)


def dropped() -> int:
    """Return how many events this process gave up: over its limit, or the database was away."""
    return _limiter().dropped + current_sink().dropped


def list_events(
    *, wanted: Wanted = EVERYTHING, since: int = 0, before: int | None = None, limit: int = 50
) -> list[Event]:
    """Return up to `limit` events behind `since` and ahead of `before`, newest first."""
    return current_sink().page(since=since, before=before, wanted=wanted, limit=limit)


def subscribe(
    *,
    wanted: Wanted = EVERYTHING,
    after: int | None = None,
    idle_s: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Yield events behind `after` (None: from now on) as they come, each once, in order.

    Ends when `stop` is set, or after `idle_s` seconds without an event. Holds no database
    connection while it waits. Raises: django.db.Error when the database is away.
    """
    sink, ended = current_sink(), stop or threading.Event()
    position = sink.bounds()[1] if after is None else after
    waiter, heard_at = sink.waiter(), time.monotonic()
    try:
        while not ended.is_set():
            piece = sink.read(after=position, wanted=wanted, limit=500)
            yield from piece.events
            position = piece.reached
            if piece.events:
                heard_at = time.monotonic()
                continue
            _rest()
            while not ended.is_set() and not waiter.wait(0.2, ended):
                if idle_s is not None and time.monotonic() - heard_at >= idle_s:
                    return
    finally:
        waiter.close()
        _rest()


def flush(limit_s: float = 2.0) -> bool:
    """Wait until what this process published is written; return whether it is.

    For a process about to end by `os._exit`; an ordinary end does it by itself.
    """
    return current_sink().flush(limit_s)


def identify(source: str) -> None:
    """Say under which name this process publishes: a worker's is that of its heartbeat."""
    _identity[os.getpid()] = source[:150]


def current_sink() -> Sink:
    """Return the sink that TELEMETRY_SINK names, one of each per process."""
    return _sink(settings.TELEMETRY_SINK)


@functools.cache
def _sink(kind: str) -> Sink:
    return MemorySink() if kind == "memory" else SharedSink()


def _limiter() -> Limiter:
    return _limiters.setdefault(os.getpid(), Limiter())


def _draft(name: str, organization_id: uuid.UUID | None, data: dict[str, Any]) -> Draft:
    trace = current_trace()
    return Draft(
        key=new_id(),
        name=name,
        published_s=time.monotonic(),
        organization_id=organization_id,
        source=_identity.get(os.getpid()) or _default_identity(),
        request_id=trace.request_id[:100],
        correlation_id=trace.correlation_id[:100],
        data=clean(data),
    )


def _report(count: int) -> None:
    """Tell that events were dropped: at once, as no rollback undoes that."""
    if count:
        logger.warning("%d telemetry events were dropped: this process publishes too many", count)
        data = {"count": count, "per_s": settings.TELEMETRY_EVENTS_PER_S}
        current_sink().put(_draft("telemetry.dropped", None, data))


def _default_identity() -> str:
    return f"{socket.gethostname()[:100]}:{os.getpid()}"


def _rest() -> None:
    if not connection.in_atomic_block:
        connection.close()
