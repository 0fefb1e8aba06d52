"""A process that has everything imported and nothing open, and forks one child per order.

Importing Django takes half a second, forking 20 ms: a thousand cases are only possible this way.
Orders are JSON lines on stdin, answers lines on stdout.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 60.0
HUNG: Final = 1_000
"""Stands for the exit code of a child that had to be killed."""


class Stage:
    """The forking process, as the harness sees it."""

    def __init__(self, root: Path, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self._number = 0
        self._logs: dict[int, Path] = {}
        settings = {
            "DJANGO_SETTINGS_MODULE": "tests.faults.matrix.settings",
            "PYTHONUNBUFFERED": "1",
        }
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.matrix.stage"],
            cwd=root,
            env={**os.environ, **settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End it and what it has forked."""
        self._order(do="end")
        assert self._popen.stdin and self._popen.stdout
        self._popen.stdin.close()
        self._popen.stdout.close()
        self._popen.wait(10)

    def fork(self, call: list[Any], **order: Any) -> int:
        """Start a child and return its pid; `log_of` has what it prints."""
        self._number += 1
        log = str(self.directory / f"child-{self._number}.log")
        pid = int(self._order(do="fork", call=call, log=log, **order))
        self._logs[pid] = Path(log)
        return pid

    def wait(self, pid: int, limit_s: float = LIMIT_S) -> int | None:
        """Wait until a child ends or stops; return its exit code, None if it is stopped."""
        answer = self._order(do="wait", pid=pid, limit_s=limit_s)
        return None if answer == "stopped" else int(answer)

    def wake(self, stopped: int, pid: int) -> int | None:
        """Let a stopped process go on, and the child it belongs to; wait for the child's end."""
        for each in {stopped, pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)
        return self.wait(pid)

    def run(
        self, call: list[Any], *, limit_s: float = LIMIT_S, **order: Any
    ) -> tuple[int, int | None]:
        """Start a child and wait for it; return its pid and exit code."""
        pid = self.fork(call, **order)
        return pid, self.wait(pid, limit_s)

    def log_of(self, pid: int) -> str:
        """What a child has printed."""
        return self._logs[pid].read_text(errors="replace")

    def _order(self, **order: Any) -> str:
        assert self._popen.stdin and self._popen.stdout
        self._popen.stdin.write(json.dumps(order) + "\n")
        self._popen.stdin.flush()
        answer = self._popen.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the stage has ended")
        return answer


def main() -> None:
    """Import everything, then fork on demand; on the way out kill what is left."""
    import django

    django.setup()
    from tests.faults.matrix import bugs, hooks, operations  # noqa: F401 (before forking)

    _preload()
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                _become(order)
            children.add(pid)
            answer = str(pid)
        elif order["do"] == "wait":
            answer = _wait(order["pid"], order["limit_s"])
            if answer != "stopped":
                children.discard(order["pid"])
        else:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            answer = "ended"
        print(answer, flush=True)


def _preload() -> None:
    """Import what the commands import when they run."""
    from django.core.management import ManagementUtility
    from django_rq.queues import get_queue
    from rq.worker.base import BaseWorker  # noqa: F401

    import jobs.worker.scheduler
    import jobs.worker.worker  # noqa: F401

    for command in ("rqworker", "rqscheduler"):
        ManagementUtility(["manage.py", "help"]).fetch_command(command)
    get_queue("default")


def _become(order: dict[str, Any]) -> None:
    """Be the child; never returns."""
    code = 1
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _act(order)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _act(order: dict[str, Any]) -> None:
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from tests.faults.matrix import bugs, operations
    from tests.faults.matrix.hooks import PLAN, install

    for name, value in order.get("settings", {}).items():
        setattr(settings, name, value)
    operations.declare_schedules(order.get("schedules", []))
    if order.get("bug"):
        bugs.plant(order["bug"], Path(order["evidence"]))
    what, *arguments = order["call"]
    # For the processes that a worker starts for single jobs.
    os.environ[PLAN] = json.dumps(order)
    hooks = install(order, armed=what == "act")
    if what == "command":
        execute_from_command_line(["manage.py", *arguments])
    elif what == "prepare":
        operations.prepare(operations.OPERATIONS[arguments[0]], arguments[1], arguments[2])
    elif what == "repeat":
        operations.repeat(operations.OPERATIONS[arguments[0]], arguments[1])
    elif what == "sweep":
        operations.sweep()
    else:
        operations.perform(operations.OPERATIONS[arguments[0]], arguments[1])
    if hooks is not None:
        hooks.note("DONE")


def _wait(pid: int, limit_s: float) -> str:
    until = time.monotonic() + limit_s
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found:
            if os.WIFSTOPPED(status):
                return "stopped"
            return str(os.waitstatus_to_exitcode(status))
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return str(HUNG)
        time.sleep(0.002)


if __name__ == "__main__":
    main()
