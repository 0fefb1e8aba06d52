"""The scheduler behind `manage.py rqscheduler`: sweeps, and runs what is due by the table."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django_rq.queues import DjangoScheduler
from redis.exceptions import RedisError

from jobs import telemetry
from jobs.services.heartbeats import prune_workers, report_workers
from jobs.services.schedules import prune_schedule_runs, sync_schedules
from jobs.services.sweep import Sweeper
from jobs.services.telemetry import BATCH, prune_telemetry
from jobs.worker.pulse import Pulse

logger = logging.getLogger(__name__)

BACKOFF_MAX_S = 5.0
PRUNE_EVERY_S = 60.0
PRUNE_PIECES = 10
REPORT_EVERY_S = 5.0


class SweepingScheduler(DjangoScheduler):
    """Keeps rq-scheduler's command and lets PostgreSQL say what is due (RQ['SCHEDULER_CLASS']).

    Nothing about the future is in Redis, so rq-scheduler's own pass, which unpickles and imports
    what it finds there, is not run. Any number of schedulers may run: none holds a lock. An error
    never ends it; it waits longer and tries again.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options["interval"] = settings.SWEEP_INTERVAL_S
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._stopping = False
        self._synced = False
        self._pruned_at = self._reported_at = float("-inf")
        self._pulse = Pulse("scheduler")

    def run(self, burst: bool = False) -> None:
        """Pass after pass, SWEEP_INTERVAL_S apart, until SIGTERM or SIGINT; one pass if `burst`."""
        self._install_signal_handlers()
        telemetry.identify(self._pulse.name)
        sweeper = Sweeper(lost_after_s=settings.JOB_LOST_AFTER_S)
        wait_s = self._interval
        logger.info("sweeping every %g s", self._interval)
        while not self._stopping:
            started = time.monotonic()
            went_through = self._pass(sweeper)
            wait_s = self._interval if went_through else min(wait_s * 2, BACKOFF_MAX_S)
            if burst:
                break
            self._sleep(wait_s - (time.monotonic() - started))
        with contextlib.suppress(DatabaseError, InterfaceError):
            self._pulse.end()
        connection.close()

    def _pass(self, sweeper: Sweeper) -> bool:
        try:
            if not self._synced:
                sync_schedules()
                self._synced = True
            swept = sweeper.run()
            self._watch()
            self._prune()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database is away: %s", error)
            connection.close()
            return False
        except Exception:
            # Whatever it is, ending would stop every retry and schedule of the system.
            logger.exception("a pass failed")
            connection.close()
            return False
        self._show()
        return swept

    def _watch(self) -> None:
        """Say that this process is alive; now and then, tell which others are not any more."""
        self._pulse.keep()
        now = time.monotonic()
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            report_workers(stale_after_s=settings.WORKER_STALE_S)

    def _prune(self) -> None:
        """Delete what is only kept for a while, a bounded piece at a time, now and then."""
        now = time.monotonic()
        if now - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = now
            prune_schedule_runs()
            prune_workers(older_than_s=settings.WORKER_KEEP_S)
            keep_s, keep_events = settings.TELEMETRY_KEEP_S, settings.TELEMETRY_KEEP_EVENTS
            for _ in range(PRUNE_PIECES):
                if prune_telemetry(keep_s=keep_s, keep_events=keep_events) < BATCH:
                    break

    def _show(self) -> None:
        """Let `rq` tools see a living scheduler."""
        try:
            self.connection.hset(self.key, "birth", time.time())
            self.connection.expire(self.key, int(self._interval) + 10)
        except RedisError as error:
            logger.debug("not shown: %s", error)

    def _install_signal_handlers(self) -> None:
        def stop(*_: Any) -> None:
            self._stopping = True

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

    def _sleep(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
