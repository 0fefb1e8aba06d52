"""What has to happen again and again while a build's process runs."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from django.db import DatabaseError, connection, transaction

from builds.errors import BuildNotFound
from builds.services.holds import keep_hold
from builds.services.moves import lock_build
from builds.states import BuildState
from credits.errors import InsufficientCredits
from jobs.context import JobContext
from jobs.errors import LeaseLost

logger = logging.getLogger("builds.pulse")

FLUSH_INTERVAL_S: Final = 0.3
HOLD_INTERVAL_S: Final = 60.0


class Pulse:
    """A thread that flushes the log and keeps the credits held, on connections of its own.

    When the job's lease is found lost it stops the run and itself. What the database refuses for
    the moment is tried again at the next beat.
    """

    def __init__(
        self,
        *,
        build_id: uuid.UUID,
        context: JobContext,
        flush: Callable[[], None],
        wake: threading.Event,
    ) -> None:
        self._build_id = build_id
        self._context = context
        self._flush = flush
        self._wake = wake
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="build-pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        next_hold = time.monotonic() + HOLD_INTERVAL_S
        while not self._closing.is_set():
            self._wake.wait(FLUSH_INTERVAL_S)
            self._wake.clear()
            self._beat(self._flush)
            if time.monotonic() >= next_hold:
                next_hold = time.monotonic() + HOLD_INTERVAL_S
                self._beat(self._keep_hold)

    def _beat(self, action: Callable[[], None]) -> None:
        try:
            action()
        except LeaseLost:
            self._context.stop.set()
            self._closing.set()
        except (DatabaseError, InsufficientCredits, BuildNotFound) as error:
            logger.warning("build.pulse_failed build_id=%s error=%s", self._build_id, error)
        finally:
            connection.close()

    def _keep_hold(self) -> None:
        """Extend the hold of a build that is still being built (C-02)."""
        with transaction.atomic():
            build = lock_build(build_id=self._build_id)
            if build.state == BuildState.BUILDING.value:
                keep_hold(build)
            self._context.assert_held()
