"""The inside of a cell: `python -m jobs.worker.cell <name> <parent's pid>`.

Reads job ids from its standard input, runs each, answers on its standard output.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import uuid
from typing import Any, Final, TextIO

_PR_SET_PDEATHSIG: Final = 1


def main(name: str, parent: int) -> None:
    """Serve until the parent closes the pipe, or ends."""
    _end_with(parent)
    answers = _keep_stdout()
    import django

    django.setup()
    from django.conf import settings

    from jobs import telemetry
    from jobs.worker.cells import RAN, SKIPPED
    from jobs.worker.execute import Executor
    from jobs.worker.freeze import Thaw

    if settings.WORKER_MEMORY_BYTES:
        limit = settings.WORKER_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    telemetry.identify(name)
    executor = Executor(name, settings.JOB_LEASE_S, settings.JOB_LEASE_RENEWAL_S)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=_hand_back, args=(executor, stopping), daemon=True).start()
    executor.start()
    Thaw(settings.WORKER_FREEZE_LIMIT_S).start()
    for line in sys.stdin:
        ran = executor.run(uuid.UUID(hex=line.strip()), on_stuck=_leave)
        print(RAN if ran else SKIPPED, file=answers, flush=True)
    telemetry.flush()
    os._exit(0)


def _hand_back(executor: Any, stopping: threading.Event) -> None:
    """When told to stop, interrupt what runs; in a thread, as the job has the main one."""
    from jobs.errors import HandedBack

    stopping.wait()
    executor.closing = True
    for run in executor.monitor.runs():
        run.guard.interrupt(HandedBack("the worker is stopping"))


def _leave() -> None:
    """End a process whose job does not; the parent takes the job back."""
    os._exit(70)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _keep_stdout() -> TextIO:
    """Keep the pipe for answers; what jobs print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
