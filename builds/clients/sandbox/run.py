"""Run a builder's command as untrusted work."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from builds.clients.sandbox.levels import isolation
from builds.clients.sandbox.limits import SandboxLimits, SandboxResult
from builds.clients.sandbox.plans import make_plan
from builds.clients.sandbox.process import OnLine, run_plan


def run_sandboxed(
    command: Sequence[str],
    *,
    workspace: Path,
    writable: Sequence[Path],
    limits: SandboxLimits,
    stop: threading.Event,
    on_line: OnLine,
) -> SandboxResult:
    """Run a command as untrusted work and wait for its end.

    It starts in the workspace, a private directory whose `writable` directories are all it can
    change; two more, `home` and `tmp`, are made there. `on_line(stream, line)` gets each line of
    "stdout" and "stderr" while it is written, in the calling thread. When `stop` is set, a limit
    is passed, `on_line` raises, or this process dies, every process of the build is killed.
    Raises: SandboxUnavailable when it could not be started as BUILD_SANDBOX demands.
    Source: B-05, W-07.
    """
    level = isolation()
    plan = make_plan(level, command, workspace=workspace, writable=writable, limits=limits)
    return run_plan(plan, limits=limits, stop=stop, on_line=on_line)
