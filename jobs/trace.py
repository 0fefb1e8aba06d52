"""The ids that follow one request through the queue (O-06)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """Request and correlation id of the work being done; empty outside a request or job."""

    request_id: str = ""
    correlation_id: str = ""


_current: ContextVar[Trace] = ContextVar("trace", default=Trace())


def current_trace() -> Trace:
    """Return the trace of the request or job this code runs for."""
    return _current.get()


class TraceFilter(logging.Filter):
    """Gives each log line the ids of the work it was written for, as `%(trace)s`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them; every line passes."""
        trace = current_trace()
        ids = {"request_id": trace.request_id, "correlation_id": trace.correlation_id}
        record.trace = "".join(f" {name}={value}" for name, value in ids.items() if value)
        return True


@contextmanager
def bind_trace(trace: Trace) -> Iterator[None]:
    """Make `trace` the current one inside the block."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
