"""The heartbeat of a process that has no monitor."""

from __future__ import annotations

import os
import time

from django.conf import settings
from django.db import connection

from jobs.clients.process import host_name, memory_bytes, new_worker_name
from jobs.services.heartbeats import WorkerFacts, beat, farewell


class Pulse:
    """Says each WORKER_HEARTBEAT_S that this process is alive, and in the end that it is gone.

    On the caller's own connection. Raises: django.db.Error when the database is away.
    """

    def __init__(self, role: str) -> None:
        self.name = new_worker_name()
        self._role = role
        self._beaten_at = float("-inf")

    def keep(self) -> None:
        """Beat, if it is time to."""
        now = time.monotonic()
        if now - self._beaten_at < settings.WORKER_HEARTBEAT_S:
            return
        facts = WorkerFacts(
            name=self.name,
            host=host_name(),
            pid=os.getpid(),
            role=self._role,
            memory_bytes=memory_bytes(),
            version=settings.VERSION,
        )
        with connection.cursor() as cursor:
            cursor.execute(*beat(facts))
        self._beaten_at = now

    def end(self) -> None:
        """Say farewell."""
        with connection.cursor() as cursor:
            cursor.execute(*farewell(self.name))
