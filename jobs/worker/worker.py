"""The worker behind `manage.py rqworker`: many jobs at once, in threads of one process."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.worker.base import BaseWorker
from rq.worker_registration import clean_worker_registry

from jobs.errors import HandedBack, LeaseLost
from jobs.services.endings import handed_back
from jobs.services.release import release
from jobs.services.sweep import Sweeper
from jobs.worker import database
from jobs.worker.bells import Bells
from jobs.worker.crew import Crew
from jobs.worker.execute import Executor, install

logger = logging.getLogger(__name__)

BEAT_S: Final = 10.0
UNWIND_S: Final = 2.0
"""How long interrupted handlers may take to clean up before their jobs are handed back."""


@dataclass(frozen=True, slots=True)
class Quota:
    """When a worker has done what it was started for. Units: seconds."""

    burst: bool
    max_jobs: int | None
    max_idle_s: int | None

    def is_met(self, crew: Crew, idle_s: float) -> bool:
        """Tell whether nothing more is to be done, running jobs included."""
        if crew.busy():
            return False
        return (self.max_jobs is not None and crew.done >= self.max_jobs) or (
            self.max_idle_s is not None and idle_s >= self.max_idle_s
        )

    def allows(self, crew: Crew) -> bool:
        """Tell whether one more job may be taken now."""
        busy = crew.busy()
        return busy < crew.slots and (self.max_jobs is None or crew.done + busy < self.max_jobs)


class ThreadWorker(BaseWorker):
    """Runs up to WORKER_SLOTS jobs in threads (RQ['WORKER_CLASS']; W-08, W-14).

    RQ gives it its place in `rq:workers`, its queues and its record of what runs; what is run and
    how it ended is decided in PostgreSQL by the executor. Signals set flags only. It takes nothing
    while the database is away.

    Exit codes: 0 after a stop, 1 when the database was not there or stayed away.
    """

    def __init__(self, queues: Any, name: str | None = None, **options: Any) -> None:
        options |= {"serializer": JSONSerializer, "worker_ttl": 60, "log_job_description": False}
        super().__init__(queues, name, **options)
        # A pop that is retried may take two bells; the loop has its own patience.
        self.connection.set_retry(Retry(NoBackoff(), 0))
        self._hurried = False
        self._beaten_at = time.monotonic()

    def work(  # the signature is RQ's
        self,
        burst: bool = False,
        logging_level: str | None = None,
        date_format: str = "%H:%M:%S",
        log_format: str = "%(asctime)s %(message)s",
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: Any = None,
    ) -> bool:
        """Take and run jobs until told to stop; return whether any was run.

        Raises: SystemExit(1) when the database cannot be used.
        """
        if with_scheduler:
            raise SystemExit("rqworker: run `manage.py rqscheduler` instead of --with-scheduler")
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        self._require_database()
        executor = Executor(self.name, settings.JOB_LEASE_S, settings.JOB_LEASE_RENEWAL_S)
        crew = Crew(executor, self, settings.WORKER_SLOTS)
        self.bootstrap(logging_level, date_format, log_format)
        install(executor)
        executor.start()
        try:
            stayed = self._loop(crew, Quota(burst, max_jobs, max_idle_time))
            if stayed:
                self._drain(crew)
        finally:
            executor.end()
            self._leave()
        if crew.busy():
            # Threads that do not come back would keep the process; their jobs are safe.
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0 if stayed else 1)
        crew.dismiss()
        database.close_pool()
        if not stayed:
            raise SystemExit(1)
        return crew.done > 0

    def subscribe(self) -> None:
        """Listen to no commands: whoever can write to Redis could stop the worker."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""

    def request_stop(self, signum: Any, frame: Any) -> None:
        """Stop taking work; a second signal cuts the drain short. Sets flags only."""
        self._hurried = self._stop_requested
        self._stop_requested = True

    def get_heartbeat_ttl(self, job: Any, working_time: float = 0.0) -> int:
        """Keep RQ's record of a run as long as it may take."""
        return int(job.timeout or 0) + 60

    def _require_database(self) -> None:
        """Fail at once, and say why, when there is no database; take back stale jobs (W-13)."""
        try:
            database.dedicated().close()
        except psycopg.Error as error:
            raise SystemExit(f"rqworker: the database cannot be used: {error}") from None
        database.use_pool(settings.WORKER_DB_CONNECTIONS)
        Sweeper(lost_after_s=settings.JOB_LOST_AFTER_S).run()

    def _loop(self, crew: Crew, quota: Quota) -> bool:
        """Hand doorbells to threads; return False when the database stayed away."""
        bells = Bells(self.queues, self.connection)
        idle_since = time.monotonic()
        while not self._stop_requested:
            busy = crew.busy()
            if busy:
                idle_since = time.monotonic()
            if quota.is_met(crew, time.monotonic() - idle_since):
                break
            away_s = crew.executor.monitor.away_s()
            if away_s > settings.WORKER_AWAY_LIMIT_S:
                logger.error("the database has been away for %d s, leaving", away_s)
                return False
            self._beat()
            if away_s or not quota.allows(crew) or self._is_suspended():
                crew.wait(0.2)
                continue
            bell = bells.pop(wait=not quota.burst)
            if bell is not None:
                crew.send(bell)
            elif quota.burst and not busy:
                break
            elif quota.burst:
                crew.wait(0.05)
        return True

    def _is_suspended(self) -> bool:
        try:
            return bool(is_suspended(self.connection, self))
        except RedisError:
            return False

    def _beat(self) -> None:
        """Now and then: stay registered, also in a Redis that has forgotten everything."""
        if time.monotonic() - self._beaten_at < BEAT_S:
            return
        self._beaten_at = time.monotonic()
        try:
            if self.connection.exists(self.key):
                self.heartbeat()
            else:
                self.register_birth()  # type: ignore[no-untyped-call]
            for queue in self.queues:
                clean_worker_registry(queue)
        except RedisError as error:
            logger.debug("no heartbeat: %s", error)

    def _drain(self, crew: Crew) -> None:
        """Let running jobs end, interrupt the rest, hand back what does not come back (W-14)."""
        _wait(lambda: not crew.busy() or self._hurried, settings.WORKER_DRAIN_LIMIT_S)
        executor = crew.executor
        executor.closing = True
        for run in executor.monitor.runs():
            run.guard.interrupt(HandedBack("the worker is stopping"))
        _wait(lambda: not crew.busy(), UNWIND_S)
        for run in executor.monitor.runs():
            try:
                release(lease=run.lease, ending=handed_back())
            except LeaseLost:
                continue
            except Exception:
                logger.exception("job %s is left to the sweeper", run.lease.job_id.hex)

    def _leave(self) -> None:
        try:
            self.teardown()  # type: ignore[no-untyped-call]
        except RedisError as error:
            logger.debug("not deregistered: %s", error)


def _wait(condition: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
