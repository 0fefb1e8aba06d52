"""Start, watch and kill real processes of the system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Running:
    """One process in a group of its own, its output in a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.popen.pid

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process itself."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def kill_group(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process and the children in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the end; return the exit code."""
        return self.popen.wait(timeout_s)

    def wait_for(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until the output holds `text`."""
        wait_until(lambda: text in self.output(), timeout_s, lambda: self.output()[-3000:])


class Processes:
    """The processes of one test."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.root = root
        self.directory = directory
        self.running: list[Running] = []

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> Running:
        """Start `manage.py <arguments>`."""
        return self.spawn([sys.executable, "manage.py", *arguments], env=env)

    def spawn(self, command: list[str], *, env: dict[str, str] | None = None) -> Running:
        """Start any command in the project's directory with the test's environment."""
        log = self.directory / f"process-{len(self.running)}.log"
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings_test", "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                cwd=self.root,
                env={**os.environ, **settings, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(popen, log)
        self.running.append(running)
        return running

    def close(self) -> None:
        """End every process group that was started here."""
        for process in self.running:
            process.kill_group(signal.SIGCONT)
            process.kill_group(signal.SIGKILL)
        for process in self.running:
            process.wait()


def wait_until(
    predicate: Callable[[], bool],
    timeout_s: float = 30.0,
    explain: Callable[[], str] = lambda: "",
    poll_s: float = 0.02,
) -> None:
    """Poll until the predicate holds; fail with what `explain` says after `timeout_s` seconds."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if predicate():
            return
        time.sleep(poll_s)
    raise AssertionError(f"not within {timeout_s} s: {explain()}")
