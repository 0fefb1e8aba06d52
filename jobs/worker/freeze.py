"""Ending a process in which no thread can run any more: something in C keeps the interpreter."""

from __future__ import annotations

import faulthandler
import threading


class Thaw(threading.Thread):
    """Puts off the end of the process as long as Python code can run in it.

    The end itself needs no interpreter: it prints where every thread stands, and exits with
    code 1. The jobs of the process are lost with it, and the sweeper takes them back. Units:
    `limit_s` in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        super().__init__(name="thaw", daemon=True)
        self._limit_s = limit_s
        self._ended = threading.Event()

    def run(self) -> None:
        """Put it off, again and again."""
        while True:
            faulthandler.dump_traceback_later(self._limit_s, exit=True)
            if self._ended.wait(self._limit_s / 10):
                faulthandler.cancel_dump_traceback_later()
                return

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()
