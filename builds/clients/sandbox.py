"""Run a builder's process where it can do little harm (thin: deepened below)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal[
    "finished", "failed", "timed_out", "stopped", "out_of_memory", "output_limit", "log_limit"
]


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one build may use."""

    timeout_s: float = 600.0
    memory_bytes: int = 2 * 1024**3
    cpu_s: int = 600
    output_bytes: int = 512 * 1024**2
    processes: int = 64
    log_bytes: int = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """How a build's process ended."""

    exit_code: int | None
    outcome: Outcome
    duration_s: float
    message: str = ""


def run_sandboxed(
    command: Sequence[str],
    *,
    workspace: Path,
    writable: Sequence[Path],
    limits: SandboxLimits,
    stop: threading.Event,
    on_line: Callable[[str, str], None],
) -> SandboxResult:
    """Run a command in the sandbox; `on_line(stream, line)` gets every line as it is written."""
    import subprocess
    import time

    started = time.monotonic()
    done = subprocess.run(  # noqa: S603
        list(command), cwd=workspace, capture_output=True, text=True, timeout=limits.timeout_s
    )
    for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        for line in text.splitlines():
            on_line(stream, line)
    outcome: Outcome = "failed" if done.returncode else "finished"
    return SandboxResult(done.returncode, outcome, time.monotonic() - started)
