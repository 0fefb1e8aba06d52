"""Processes in which jobs run alone: those that may have killed a worker, and isolated kinds.

A cell runs one job at a time. What it does to its process harms nobody else; when the process
ends, the job it ran is known at once, and only that job pays for it (W-06, P12).
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from typing import Final

from jobs.services.rescue import rescue_owned
from jobs.worker.database import persist

logger = logging.getLogger(__name__)

RAN: Final = "ran"
SKIPPED: Final = "skipped"
STOP_S: Final = 3.0


class Cell:
    """One child process; it ends with its parent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and words)
            [sys.executable, "-m", "jobs.worker.cell", name, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            # A group of its own: with it end the processes that a job has started.
            start_new_session=True,
        )

    def run(self, job_id: uuid.UUID) -> str | None:
        """Run a job in it; return RAN or SKIPPED, or None when the process ended over it."""
        assert self._process.stdin and self._process.stdout  # noqa: S101 (for the type checker)
        try:
            self._process.stdin.write(f"{job_id.hex}\n")
            self._process.stdin.flush()
            return self._process.stdout.readline().strip() or None
        except OSError:
            return None

    def hurry(self) -> None:
        """Ask what runs to stop and be handed back."""
        self._process.terminate()

    def end(self) -> int:
        """Kill the process and what it has started; return how it ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code


class Cells:
    """Up to so many cells, kept for the next job that must run alone."""

    def __init__(self, worker: str, most: int) -> None:
        self._worker = worker
        self._free = threading.Semaphore(most)
        self._idle: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        self._all: set[Cell] = set()
        self._count = 0
        self._lock = threading.Lock()
        self._closing = False

    def run(self, job_id: uuid.UUID) -> bool:
        """Run a job alone, waiting for a cell; return whether it was there to be run.

        When its process ends over it, the job is taken back at once and has one crash more.
        """
        with self._free:
            if self._closing:
                return False
            cell = self._enter()
            answer = cell.run(job_id)
            if answer is None:
                self._bury(cell)
                return True
            self._idle.put(cell)
        return answer == RAN

    def hurry(self) -> None:
        """Ask every cell to hand back what it runs."""
        self._closing = True
        with self._lock:
            for cell in self._all:
                cell.hurry()

    def close(self) -> None:
        """End every cell."""
        self._closing = True
        with self._lock:
            for cell in self._all:
                cell.end()
            self._all.clear()

    def _enter(self) -> Cell:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            self._count += 1
            cell = Cell(f"{self._worker}/{self._count}")
            self._all.add(cell)
        return cell

    def _bury(self, cell: Cell) -> None:
        """Take back what an ended process ran."""
        with self._lock:
            self._all.discard(cell)
        code = cell.end()
        if self._closing:
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        logger.error("the process %s ended over its job: %s", cell.name, how)
        persist(lambda: rescue_owned(owner=cell.name, why=f"its own process ended with {how}"))
