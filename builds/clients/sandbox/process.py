"""Start a build's launcher, follow it, and leave nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import builds.clients.launcher
from builds.clients.launcher.plan import Plan
from builds.clients.sandbox.limits import SandboxLimits, SandboxResult
from builds.clients.sandbox.lines import LineCutter
from builds.errors import SandboxUnavailable

_LAUNCHER: Final = Path(builds.clients.launcher.__file__).parent / "__main__.py"
_POLL_S: Final = 0.1
# The launcher keeps the time; this is how late it may be before it counts as stuck.
_PATIENCE_S: Final = 15.0
_CHUNK_BYTES: Final = 64 * 1024
_STREAMS: Final = ("stdout", "stderr")
_MESSAGES: Final = {
    "timed_out": "The build took longer than {timeout_s:g} s, or computed longer than {cpu_s} s.",
    "out_of_memory": "The build used more than {memory_bytes} bytes of memory.",
    "output_limit": "The build wrote more than {output_bytes} bytes.",
    "log_limit": "The build wrote more than {log_bytes} bytes of log.",
    "stopped": "The build was stopped.",
}

OnLine = Callable[[str, str], None]


def run_plan(
    plan: Plan, *, limits: SandboxLimits, stop: threading.Event, on_line: OnLine
) -> SandboxResult:
    """Run a plan to its end; see run_sandboxed for what is promised."""
    with _Build(plan, limits, on_line) as build:
        return build.follow(stop)


class _Build:
    """One launcher and the three pipes that come out of it."""

    def __init__(self, plan: Plan, limits: SandboxLimits, on_line: OnLine) -> None:
        self._plan = plan
        self._limits = limits
        self._on_line = on_line
        self._cutters = {stream: LineCutter() for stream in _STREAMS}
        self._log_bytes = 0
        self._status = b""
        self._last_line = ""

    def __enter__(self) -> Self:
        self._status_reader, status_fd = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", str(_LAUNCHER), "supervise"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(status_fd,),
                start_new_session=True,
                env={"PATH": self._plan.environment["PATH"]},
            )
        except BaseException:
            os.close(self._status_reader)
            raise
        finally:
            os.close(status_fd)
        self._say(dataclasses.replace(self._plan, status_fd=status_fd).to_json())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the launcher, which ends what is left, and wait for it."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                _present(pipe).close()
        os.close(self._status_reader)
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def follow(self, stop: threading.Event) -> SandboxResult:
        """Pass on the output until the launcher has reported and all pipes have ended."""
        selector = selectors.DefaultSelector()
        for stream in _STREAMS:
            selector.register(
                _present(getattr(self._process, stream)), selectors.EVENT_READ, stream
            )
        selector.register(self._status_reader, selectors.EVENT_READ, "status")
        until = time.monotonic() + self._limits.timeout_s + _PATIENCE_S
        is_told = False
        while selector.get_map() and time.monotonic() < until:
            for key, _ in selector.select(_POLL_S):
                if not self._take(key.data, os.read(key.fd, _CHUNK_BYTES)):
                    selector.unregister(key.fileobj)
            order = self._order(stop)
            if order and not is_told:
                is_told = True
                self._say(order)
                until = min(until, time.monotonic() + _PATIENCE_S)
        return self._result()

    def _take(self, stream: str, chunk: bytes) -> bool:
        """Take what was read; False at the end of the stream."""
        if stream == "status":
            self._status += chunk
            return bool(chunk)
        is_silenced = self._log_bytes > self._limits.log_bytes
        self._log_bytes += len(chunk)
        cutter = self._cutters[stream]
        for line in () if is_silenced else (cutter.feed(chunk) if chunk else cutter.close()):
            self._last_line = line or self._last_line
            self._on_line(stream, line)
        return bool(chunk)

    def _order(self, stop: threading.Event) -> str:
        if stop.is_set():
            return "stopped"
        return "log_limit" if self._log_bytes > self._limits.log_bytes else ""

    def _say(self, line: str) -> None:
        # A launcher that is gone has reported, or the end of its pipes tells.
        with contextlib.suppress(BrokenPipeError):
            _present(self._process.stdin).write(f"{line}\n".encode())

    def _result(self) -> SandboxResult:
        if not self._status:
            # Killed, by the kernel for want of memory or by somebody; its child's own group is
            # gone with it (PR_SET_PDEATHSIG), and nobody is left who knows of any other.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            return SandboxResult(None, "failed", 0.0, "The build's launcher was killed.")
        report = json.loads(self._status)
        outcome = report["outcome"]
        if outcome == "unavailable":
            message = report["message"] or self._last_line
            raise SandboxUnavailable(
                f"The build could not be started ({self._plan.level}): {message[:500]}",
                data={"isolation": self._plan.level},
            )
        message = _MESSAGES.get(outcome, "").format(**dataclasses.asdict(self._limits))
        if outcome == "failed":
            message = self._last_line or f"The builder ended with exit code {report['exit_code']}."
        return SandboxResult(report["exit_code"], outcome, report["duration_s"], message)


def _present(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the launcher was started without its pipes")
    return pipe
