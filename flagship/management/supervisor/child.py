"""One child process: in a session of its own, so that it can be ended whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

CHUNK_BYTES = 65536
# One child that prints without end must not keep the loop from the others.
CHUNKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Part:
    """What to run. `is_up(pid)` says whether a started one does its work already.

    Parts of one `stop_rank` end together, lower ranks first, and may take `drain_s` for it.
    """

    name: str
    command: tuple[str, ...]
    stop_rank: int = 0
    drain_s: float = 10.0
    is_up: Callable[[int], bool] = lambda pid: True


@dataclass(slots=True)
class Child:
    """A running part."""

    part: Part
    popen: subprocess.Popen[bytes]
    started_at: float = field(default_factory=time.monotonic)
    is_silent: bool = False
    _rest: bytes = b""

    @classmethod
    def start(cls, part: Part, environment: Mapping[str, str], cwd: Path) -> Child:
        """Start a part. Call from the main thread: the child ends with the thread that made it."""
        popen = subprocess.Popen(  # noqa: S603 - the command is ours
            [*end_with_us(), *part.command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child = cls(part, popen)
        os.set_blocking(child.output.fileno(), False)
        return child

    @property
    def pid(self) -> int:
        """Process id, which is also the group's."""
        return self.popen.pid

    @property
    def output(self) -> IO[bytes]:
        """The read end of what it prints."""
        if self.popen.stdout is None:
            raise RuntimeError("started without a pipe")
        return self.popen.stdout

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_at

    def has_ended(self) -> bool:
        """Say whether the process itself has ended, without releasing its id."""
        if self.popen.returncode is not None:
            return True
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return state is not None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process itself, which knows how to end its own children."""
        if not self.has_ended():
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group."""
        # The id is released only by `close`, so it cannot mean another group yet.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> int:
        """Kill what is left of the group, release the process; return its exit code."""
        if self.popen.returncode is None:
            self.kill()
        self.output.close()
        return self.popen.wait()

    def read_lines(self) -> list[str]:
        """Return the complete lines printed since the last call; never waits.

        At the end of the output `is_silent` is set and an unfinished line counts as complete.
        """
        lines: list[bytes] = []
        for _ in range(CHUNKS_AT_ONCE):
            try:
                chunk = os.read(self.output.fileno(), CHUNK_BYTES)
            except BlockingIOError:
                break
            *complete, self._rest = (self._rest + chunk).split(b"\n")
            lines += complete
            if not chunk:
                self.is_silent = True
                lines += [self._rest] if self._rest else []
                break
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


def end_with_us() -> list[str]:
    """Prefix of a command that makes the kernel send it SIGTERM when the supervisor is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def describe_exit(code: int) -> str:
    """Put an exit code into words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"{signal.Signals(-code).name}"
    return f"signal {-code}"
