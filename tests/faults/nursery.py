"""Many short-lived workers without the cost of importing Django for each.

A process that has everything imported and nothing open forks one child per order and runs the
command line in it, as `manage.py` would. Orders are JSON lines on stdin, answers lines on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.asserts import wait_until
from tests.processes import Processes


@dataclass(slots=True)
class Child:
    """One forked command."""

    nursery: Nursery
    pid: int
    log: Path

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until the output holds `text`."""
        wait_until(lambda: text in self.output(), 60, self.output)

    def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        return int(self.nursery.order(wait=self.pid))


class Nursery:
    """The parent, as the test sees it; it ends with the test's other processes."""

    def __init__(self, processes: Processes) -> None:
        self._directory = processes.directory
        self._count = 0
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings_test", "PYTHONUNBUFFERED": "1"}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=processes.root,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.order(end=True)
        assert self._popen.stdin and self._popen.stdout
        self._popen.stdin.close()
        self._popen.stdout.close()
        self._popen.wait(10)

    def start(self, *arguments: str) -> Child:
        """Fork `manage.py <arguments>`."""
        self._count += 1
        log = self._directory / f"child-{self._count}.log"
        log.touch()
        return Child(self, int(self.order(run=arguments, log=str(log))), log)

    def order(self, **order: Any) -> str:
        """Send an order and return the answer."""
        assert self._popen.stdin and self._popen.stdout
        self._popen.stdin.write(json.dumps(order) + "\n")
        self._popen.stdin.flush()
        return self._popen.stdout.readline().strip()


def main() -> None:
    """Import everything, then fork on demand; on the way out kill what is left."""
    import django
    from django.core.management import ManagementUtility

    django.setup()
    ManagementUtility(["manage.py", "help"]).fetch_command("rqworker").check()
    children: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "run" in order:
            pid = os.fork()
            if pid == 0:
                _become(order["run"], order["log"])
            children.add(pid)
            answer = str(pid)
        elif "wait" in order:
            answer = str(_reap(order["wait"]))
            children.discard(order["wait"])
        else:
            for pid in children:
                os.kill(pid, 9)
            answer = "ended"
        print(answer, flush=True)


def _become(arguments: list[str], log: str) -> None:
    """Be the command; never returns."""
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        from django.core.management import execute_from_command_line

        execute_from_command_line(["manage.py", *arguments])
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap(pid: int) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
