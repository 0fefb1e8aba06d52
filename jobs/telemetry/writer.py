"""Writing behind the work: a bounded buffer and one thread per process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from jobs.telemetry.event import Draft

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 5_000
BATCH: Final = 200
GATHER_S: Final = 0.1
"""How long a first event waits for company, so that a burst is one statement; a flush is none."""
REST_AFTER_S: Final = 1.0
"""How long nothing has to come before `rest` is called."""
AGAIN_S: Final = (0.2, 5.0)
"""Waits after a failed write: the first, and the longest."""


class Writer:
    """Hands drafts to `store` in another thread; `put` neither waits nor raises.

    `rest` is called in that thread when no more have come for REST_AFTER_S, once.
    When the store fails the drafts are kept and tried again. When more than WAITING_MAX wait, the
    oldest go: of a long outage the end is worth more than the beginning. The thread is a daemon;
    what it has not written is given FLUSH_S at the end of the process.
    """

    FLUSH_S: Final = 2.0

    def __init__(
        self, store: Callable[[list[Draft]], None], rest: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._rest = rest
        self._changed = threading.Condition()
        self._waiting: deque[Draft] = deque()
        self._dropped = 0
        self._is_writing = False
        self._flushing = 0
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        atexit.register(self.flush)

    @property
    def dropped(self) -> int:
        """How many drafts this process has given up."""
        return self._dropped

    def put(self, draft: Draft) -> None:
        """Take a draft; it is written soon."""
        if self._pid != os.getpid():
            self._begin_anew()
        with self._changed:
            self._waiting.append(draft)
            if len(self._waiting) > WAITING_MAX:
                self._waiting.popleft()
                self._dropped += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
                self._thread.start()
            if len(self._waiting) in (1, BATCH):  # What the thread waits for, and no wake more.
                self._changed.notify_all()

    def flush(self, limit_s: float = FLUSH_S) -> bool:
        """Wait until everything is written, `limit_s` seconds at most; return whether it is."""
        if self._pid != os.getpid():
            return True
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(
                    lambda: not self._waiting and not self._is_writing, limit_s
                )
            finally:
                self._flushing -= 1

    def _begin_anew(self) -> None:
        """In a forked child: the thread and what waits belong to the parent."""
        self._changed = threading.Condition()
        self._waiting = deque()
        self._is_writing = False
        self._flushing = 0
        self._thread = None
        self._pid = os.getpid()

    def _run(self) -> None:
        wait_s, is_resting = AGAIN_S[0], True
        while True:
            batch = self._next_batch(None if is_resting else REST_AFTER_S)
            if not batch:
                self._rest_once()
                is_resting = True
                continue
            is_stored, is_resting = self._attempt(batch), False
            with self._changed:
                self._is_writing = False
                if not is_stored:
                    self._waiting.extendleft(reversed(batch))
                self._changed.notify_all()
            if is_stored:
                wait_s = AGAIN_S[0]
            else:
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, AGAIN_S[1])

    def _next_batch(self, limit_s: float | None) -> list[Draft]:
        """Wait for drafts and return them; none when none has come in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), limit_s):
                return []
            self._changed.wait_for(
                lambda: self._flushing > 0 or len(self._waiting) >= BATCH, GATHER_S
            )
            self._is_writing = True
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _rest_once(self) -> None:
        """Rest; what goes wrong with it must not end the thread."""
        try:
            self._rest()
        except Exception as error:
            logger.warning("telemetry cannot rest: %s", error)

    def _attempt(self, batch: list[Draft]) -> bool:
        try:
            self._store(batch)
        except Exception as error:
            logger.warning("%d telemetry events wait: %s", len(batch), error)
            return False
        return True
