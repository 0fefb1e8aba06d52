"""Being told to stop: signals become flags, and a byte that wakes the waiting loop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class StopRequest:
    """How often this process was asked to stop. Twice means: faster."""

    times: int = 0

    @property
    def requested(self) -> bool:
        """Whether to stop."""
        return self.times > 0

    @property
    def hastened(self) -> bool:
        """Whether to stop without waiting for work that runs."""
        return self.times > 1

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask for the stop; usable as a signal handler."""
        self.times += 1


@contextlib.contextmanager
def listening(request: StopRequest) -> Iterator[int]:
    """Turn signals into `request`; yields a descriptor that is readable after any of them.

    SIGCHLD only wakes: a child that ended is found by asking for its state.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, request.ask) for number in STOPPING}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    waker = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(waker)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
