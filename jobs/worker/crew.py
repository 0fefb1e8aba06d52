"""The threads of a worker and the doorbells they answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis.exceptions import RedisError
from rq.worker.base import BaseWorker, WorkerStatus

from jobs.worker.doorbell import Doorbell
from jobs.worker.execute import Executor

logger = logging.getLogger(__name__)


class Crew:
    """Answers doorbells in up to `slots` threads and tells RQ what they do."""

    def __init__(self, executor: Executor, worker: BaseWorker, slots: int) -> None:
        self.executor = executor
        self.slots = slots
        self.done = 0
        self._worker = worker
        self._changed = threading.Condition()
        self._busy = 0
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")

    def busy(self) -> int:
        """Return how many doorbells are being answered."""
        return self._busy

    def wait(self, limit_s: float) -> None:
        """Wait until one more has been answered, or not that long."""
        with self._changed:
            self._changed.wait(limit_s)

    def send(self, bell: Doorbell) -> None:
        """Answer a doorbell in a thread; the caller has seen that a slot is free."""
        with self._changed:
            self._busy += 1
        self._threads.submit(self._answer, bell)

    def dismiss(self) -> None:
        """Let the idle threads go."""
        self._threads.shutdown(wait=False)

    def _answer(self, bell: Doorbell) -> None:
        ran = False
        execution = self._note(self._begin, bell)
        try:
            ran = bool(bell.perform())
        except Exception:
            logger.exception("doorbell %s", bell.id)
        finally:
            self._note(self._end, bell, execution)
            with self._changed:
                self._busy -= 1
                self.done += ran
                self._changed.notify_all()

    def _note(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Tell RQ; that it cannot be told changes nothing for the job."""
        try:
            return step(*arguments)
        except RedisError as error:
            logger.debug("RQ was not told: %s", error)
            return None

    def _begin(self, bell: Doorbell) -> Any:
        return self._worker.prepare_execution(bell)

    def _end(self, bell: Doorbell, execution: Any) -> None:
        worker = self._worker
        if execution is not None:
            worker.executions.pop(execution.id, None)
        with worker.connection.pipeline(transaction=False) as pipeline:
            worker.cleanup_execution(bell, pipeline=pipeline, execution=execution)
            worker.increment_successful_job_count(pipeline=pipeline)
            pipeline.delete(bell.key)
            if not worker.executions:
                worker.set_state(WorkerStatus.IDLE, pipeline=pipeline)
            pipeline.execute()
