"""What a build may use, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal[
    "finished",
    "failed",
    "timed_out",
    "stopped",
    "out_of_memory",
    "output_limit",
    "log_limit",
]


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one build may use.

    Units: `timeout_s` seconds by the clock, `cpu_s` whole seconds of one process's computing,
    `memory_bytes` of all its processes together (and of each one's data), `output_bytes` of all
    writable directories together (and of each file), `processes` at once, `log_bytes` written.
    """

    timeout_s: float = 600.0
    cpu_s: int = 600
    memory_bytes: int = 2 * 1024**3
    output_bytes: int = 512 * 1024**2
    processes: int = 64
    log_bytes: int = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """How a build's process ended; nothing it started is left.

    `outcome` is finished (exit code 0), failed (another code; killed by signal n: 128 + n), or
    the limit that ended it, or stopped by the worker. `exit_code` is None when there was none.
    """

    exit_code: int | None
    outcome: Outcome
    duration_s: float
    message: str = ""
