"""Interrupting one thread, once, and never after it has moved on."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Final

from jobs.errors import Interrupted

_set_async_exc: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Guard:
    """Raises at most one interruption in the thread that runs a handler (W-07).

    Invariant: nothing is raised before `run` has called the handler or after `run` has returned.
    CPython raises it between two instructions of the target thread, not inside a C call, so that a
    blocked handler sees `stop` first. An interruption is raised once only: a second one could hit
    the cleaning up after the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._thread: int | None = None
        self._reason: Interrupted | None = None
        self._raised = False
        self._over = False

    @property
    def stop(self) -> threading.Event:
        """Set by an interruption; made for those who ask, as few do."""
        with self._lock:
            if self._stop is None:
                self._stop = threading.Event()
                if self._reason is not None:
                    self._stop.set()
            return self._stop

    @property
    def is_stopped(self) -> bool:
        """Whether there was an interruption, felt or not."""
        return self._reason is not None

    @property
    def reason(self) -> Interrupted | None:
        """What the run was interrupted for, if the handler has felt it."""
        return self._reason if self._raised else None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be interrupted any more."""
        return self._over

    def interrupt(self, reason: Interrupted) -> bool:
        """Ask the run to end for this reason; return False if it is too late or not the first."""
        with self._lock:
            if self._over or self._reason is not None:
                return False
            self._reason = reason
            if self._thread is not None:
                _raise_in(self._thread, self._exception())
            if self._stop is not None:
                self._stop.set()
            return True

    def check(self) -> None:
        """Raise the reason in the calling thread if there is one."""
        with self._lock:
            if self._reason is None:
                return
            self._withdraw()
            self._raised = True
        raise self._reason

    def run(self, call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Call in this thread, open to interruption; return the value or what was raised.

        An interruption that the call swallowed is returned as its error all the same.
        """
        value: Any = None
        error: BaseException | None = None
        returned = False
        try:
            try:
                self._arm()
                value = call()
                returned = True
            except BaseException as caught:  # a job must not end the worker, whatever it raises
                error = caught
            self._disarm()
        except Interrupted as late:
            # It struck between the end of the call and the disarming; no second one can come.
            self._disarm()
            if not returned:
                error = error or late
            self._raised = error is late
        if error is None and self.reason is not None:
            error = self.reason
        return value, error

    def _arm(self) -> None:
        with self._lock:
            self._thread = threading.get_ident()
        self.check()

    def _disarm(self) -> None:
        with self._lock:
            self._over = True
            self._withdraw()

    def _withdraw(self) -> None:
        """Take back what was sent and has not struck; the lock is held."""
        if self._reason is not None and not self._raised and self._thread is not None:
            _raise_in(self._thread, None)

    def _exception(self) -> type[Interrupted]:
        """Make a class for this one use: it says why, and tells the guard when it strikes."""
        guard, reason = self, self._reason
        assert reason is not None  # noqa: S101 (for the type checker; set by the only caller)
        base = type(reason)

        def strike(self: Interrupted) -> None:
            guard._raised = True
            base.__init__(self, *reason.args)

        return type(base.__name__, (base,), {"__init__": strike, "__module__": base.__module__})


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    argument = ctypes.py_object() if exception is None else ctypes.py_object(exception)
    _set_async_exc(ctypes.c_ulong(thread), argument)
