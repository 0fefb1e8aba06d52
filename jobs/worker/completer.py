"""The ends of runs that end together, written together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DatabaseError, InterfaceError

from jobs.services.claim import Lease
from jobs.services.complete import complete, complete_many

logger = logging.getLogger(__name__)

MOST: Final = 100


@dataclass(slots=True, eq=False)
class End:
    """One run's end on its way to the database; `told` once it is written, or its turn to write."""

    lease: Lease
    result: dict[str, Any] | None
    writes: bool = False
    moved: bool = False
    told: threading.Event = field(default_factory=threading.Event)


class Completer:
    """Completes jobs for the threads that call it, in one statement for all that wait.

    Who comes while nobody writes, writes at once. What comes meanwhile is written together, by the
    first of those. So a run that ends alone waits for nobody, and a hundred that end in the same
    moment cost a few statements (W-08). What could not be written together, because a row was
    held or one result spoilt the statement, is written by its own thread.
    """

    def __init__(self) -> None:
        self._waiting: list[End] = []
        self._writing = False
        self._lock = threading.Lock()

    def complete(self, lease: Lease, result: dict[str, Any] | None) -> None:
        """Move a running job to succeeded. Raises: as `services.complete.complete`."""
        end = End(lease, result)
        with self._lock:
            self._waiting.append(end)
            if not self._writing:
                self._writing = end.writes = True
        if not end.writes:
            end.told.wait()
        if end.writes:
            self._write()
        if not end.moved:
            complete(lease=lease, result=result)

    def _write(self) -> None:
        """Write what waits, the caller's own included; one alone raises what becomes of it."""
        with self._lock:
            ends = self._waiting[:MOST]
            del self._waiting[:MOST]
        try:
            if len(ends) == 1:
                complete(lease=ends[0].lease, result=ends[0].result)
                ends[0].moved = True
            else:
                _write_together(ends)
        finally:
            self._pass_on()
            for end in ends:
                end.told.set()

    def _pass_on(self) -> None:
        """Let the first of those who came meanwhile write next."""
        with self._lock:
            self._writing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].writes = True
                self._waiting[0].told.set()


def _write_together(ends: Sequence[End]) -> None:
    leases, results = [end.lease for end in ends], [end.result for end in ends]
    try:
        moved = complete_many(leases=leases, results=results)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("%d ends are written one by one: %s", len(ends), error)
        return
    for end in ends:
        end.moved = end.lease.job_id in moved
