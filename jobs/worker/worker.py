"""The worker behind `manage.py rqworker`: many jobs at once, in threads of one process."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connections
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.command import parse_payload
from rq.serializers import JSONSerializer
from rq.worker.base import BaseWorker, WorkerStatus
from rq.worker_registration import clean_worker_registry

from jobs import telemetry
from jobs.clients.doorbells import job_id_of
from jobs.clients.process import new_worker_name
from jobs.errors import HandedBack, LeaseLost, Refusal
from jobs.services.cancel import cancel_job
from jobs.services.endings import handed_back, lost
from jobs.services.release import release
from jobs.services.sweep import Sweeper
from jobs.worker import database
from jobs.worker.dispatch import Dispatch, Quota
from jobs.worker.freeze import Thaw

logger = logging.getLogger(__name__)

BEAT_S: Final = 10.0
UNWIND_S: Final = 2.0
"""How long interrupted handlers may take to clean up before their jobs are handed back."""


class ThreadWorker(BaseWorker):
    """Runs up to WORKER_SLOTS jobs in threads (RQ['WORKER_CLASS']; W-08, W-14).

    RQ gives it its place in `rq:workers`, its queues, suspension and the stop-job command; what is
    run and how it ended is decided in PostgreSQL. Signals set flags only. It takes nothing while
    the database is away.

    Exit codes: 0 after a stop; 1 when the database was not there or stayed away, when too many
    threads did not come back, or when it grew beyond WORKER_MEMORY_BYTES.
    """

    def __init__(self, queues: Any, name: str | None = None, **options: Any) -> None:
        options |= {"serializer": JSONSerializer, "worker_ttl": 60, "log_job_description": False}
        super().__init__(queues, name or new_worker_name(), **options)
        # A pop that is retried may take two bells; the loop has its own patience.
        self.connection.set_retry(Retry(NoBackoff(), 0))
        self._hurried = False
        self._beaten_at = time.monotonic()
        self._counted = 0

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

        Raises: SystemExit(1) as the class says.
        """
        if with_scheduler:
            raise SystemExit("rqworker: run `manage.py rqscheduler` instead of --with-scheduler")
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        self._require_database()
        dispatch = Dispatch(self.connection, self.name, self.queue_names())
        self.bootstrap(logging_level, date_format, log_format)
        thaw = Thaw(settings.WORKER_FREEZE_LIMIT_S)
        thaw.start()
        dispatch.start()
        telemetry.identify(self.name)
        telemetry.publish("worker.started", worker=self.name, queues=self.queue_names())
        reason = ""
        try:
            reason = self._loop(dispatch, Quota(burst, max_jobs, max_idle_time))
            self._drain(dispatch, reason)
        finally:
            dispatch.end()
            thaw.end()
            self._leave(dispatch)
            telemetry.publish(
                "worker.stopped", worker=self.name, reason=reason, jobs_done=dispatch.done()
            )
            telemetry.flush()
        if dispatch.busy():
            # Threads that do not come back would keep the process; their jobs are safe.
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1 if reason else 0)
        dispatch.dismiss()
        database.close_pool()
        if reason:
            raise SystemExit(1)
        return dispatch.done() > 0

    def handle_payload(self, message: Any) -> None:
        """Honour RQ's stop-job, which asks for a cancel; other commands are for other workers."""
        command: dict[str, Any] = {}
        try:
            command = parse_payload(message)
            job_id = job_id_of(str(command.get("job_id")))
            if command.get("command") == "stop-job" and job_id is not None:
                cancel_job(job_id=job_id, actor="rq stop-job")
        except Refusal as refusal:
            logger.info("stop-job: %s", refusal)
        except Exception:
            logger.exception("command %s", command)
        finally:
            connections.close_all()

    def request_stop(self, signum: Any, frame: Any) -> None:
        """Stop taking work; a second signal cuts the drain short. Sets flags only."""
        self._hurried = self._stop_requested
        self._stop_requested = True

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Listen again when Redis is back, quietly: the loop says that it is away."""
        logger.debug("commands: %s", exc)
        time.sleep(2.0)

    def _require_database(self) -> None:
        """Fail at once, and say why, when there is no database; take back stale jobs (W-13)."""
        try:
            database.dedicated().close()
        except psycopg.Error as error:
            raise SystemExit(f"rqworker: the database cannot be used: {error}") from None
        database.use_pool(settings.WORKER_DB_CONNECTIONS)
        Sweeper(lost_after_s=settings.JOB_LOST_AFTER_S).run()

    def _loop(self, dispatch: Dispatch, quota: Quota) -> str:
        """Answer doorbells until told to stop; return why the worker cannot go on, if so."""
        while not self._stop_requested:
            if quota.is_met(dispatch):
                return ""
            if reason := dispatch.ails():
                logger.error("leaving: %s", reason)
                return reason
            self._beat(dispatch)
            if not dispatch.turn(quota):
                return ""
        return ""

    def _beat(self, dispatch: Dispatch) -> None:
        """Now and then: stay registered, also in a Redis that has forgotten everything."""
        if time.monotonic() - self._beaten_at < BEAT_S:
            return
        self._beaten_at = time.monotonic()
        try:
            if self.connection.exists(self.key):
                self.heartbeat()
            else:
                self.register_birth()  # type: ignore[no-untyped-call]
            self._count(dispatch)
            for queue in self.queues:
                clean_worker_registry(queue)
        except RedisError as error:
            logger.debug("no heartbeat: %s", error)

    def _count(self, dispatch: Dispatch) -> None:
        """Let RQ's tools see what it does and has done."""
        done = dispatch.done()
        busy = WorkerStatus.BUSY if dispatch.busy() else WorkerStatus.IDLE
        with self.connection.pipeline(transaction=False) as pipeline:
            self.set_state(busy, pipeline=pipeline)
            pipeline.hincrby(self.key, "successful_job_count", done - self._counted)
            pipeline.execute()
        self._counted = done

    def _drain(self, dispatch: Dispatch, reason: str) -> None:
        """Let running jobs end, interrupt the rest, hand back what does not come back (W-14)."""
        dispatch.close()
        patience_s = 0.0 if reason else settings.WORKER_DRAIN_LIMIT_S
        _wait(lambda: not dispatch.busy() or self._hurried, patience_s)
        dispatch.interrupt(HandedBack("the worker is stopping"))
        _wait(lambda: not dispatch.busy(), UNWIND_S)
        # A worker that ails may have got it from one of them: each is lost, none handed back.
        ending = lost(f"the worker left: {reason}") if reason else handed_back()
        for run in dispatch.runs():
            try:
                release(lease=run.lease, ending=ending)
            except LeaseLost:
                continue
            except Exception:
                logger.exception("job %s is left to the sweeper", run.lease.job_id.hex)

    def _leave(self, dispatch: Dispatch) -> None:
        try:
            dispatch.flush()
            self._count(dispatch)
            self.teardown()  # type: ignore[no-untyped-call]
        except RedisError as error:
            logger.debug("not deregistered: %s", error)


def _wait(condition: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
