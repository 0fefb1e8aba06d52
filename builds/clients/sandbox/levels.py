"""Choose how builds are kept apart on this machine, by trying."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from django.conf import settings

from builds.builders.builder import PROGRAMS
from builds.clients.launcher.plan import Level, Plan
from builds.clients.sandbox.limits import SandboxLimits
from builds.clients.storage import workspace as lend_workspace
from builds.errors import SandboxUnavailable

logger = logging.getLogger("flagship.builds")

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_LEVELS: Final[dict[str, tuple[Level, ...]]] = {
    "auto": ("bubblewrap", "namespaces", "landlock", "process"),
    "required": ("bubblewrap",),
    "off": ("namespaces", "landlock", "process"),
}
_TRIAL: Final = SandboxLimits(timeout_s=10, cpu_s=10)

_lock = threading.Lock()
_found: dict[str, Level] = {}


def isolation() -> Level:
    """Return the best way to isolate builds that works here and that BUILD_SANDBOX allows.

    Each way is tried once per process with a real, empty build: that a program is installed does
    not mean that the kernel, or a container around us, lets it work.
    Raises: SandboxUnavailable when none works; the next call tries again.
    """
    demand: str = settings.BUILD_SANDBOX
    with _lock:
        if demand not in _found:
            _found[demand] = _find(demand)
        return _found[demand]


def make_plan(
    level: Level,
    command: Sequence[str],
    *,
    workspace: Path,
    writable: Sequence[Path],
    limits: SandboxLimits,
) -> Plan:
    """Return the plan of a build; makes its `home` and `tmp` in the workspace."""
    private = [workspace / "home", workspace / "tmp"]
    for directory in private:
        # Private by the workspace's own mode; under bubblewrap root passes through without rights.
        directory.mkdir(mode=0o755, exist_ok=True)
    return Plan(
        level=level,
        command=list(command),
        environment={
            "PATH": _PATH,
            "HOME": str(private[0]),
            "TMPDIR": str(private[1]),
            "LANG": "C.UTF-8",
            "FLAGSHIP_ISOLATION": level,
        },
        workspace=str(workspace),
        writable=[str(path) for path in (*writable, *private)],
        readable=_readable(),
        timeout_s=limits.timeout_s,
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        output_bytes=limits.output_bytes,
        processes=limits.processes,
        bubblewrap=shutil.which("bwrap") or "",
    )


def _find(demand: str) -> Level:
    complaints: list[str] = []
    for level in _LEVELS[demand]:
        complaint = missing(level) or _try(level)
        if not complaint:
            logger.info("builds.isolation level=%s", level)
            return level
        complaints.append(f"{level}: {complaint}")
    raise SandboxUnavailable(
        f"Builds cannot be isolated here (BUILD_SANDBOX={demand}). {'; '.join(complaints)}",
        data={"buildSandbox": demand},
    )


def missing(level: Level) -> str:
    """Return why a level cannot work here at all, or nothing."""
    if not sys.platform.startswith("linux"):
        return "builds need Linux"
    if level == "bubblewrap" and not shutil.which("bwrap"):
        return "bubblewrap (bwrap) is not installed"
    if level == "namespaces" and os.geteuid() != 0:
        return "needs root"
    return ""


def _try(level: Level) -> str:
    """Run an empty build at a level; return what was wrong."""
    from builds.clients.sandbox.run import run_plan

    with lend_workspace() as workspace:
        command = [sys.executable, "-I", "-S", "-c", "open('home/trial', 'w')"]
        plan = make_plan(level, command, workspace=workspace, writable=[], limits=_TRIAL)
        lines: list[str] = []
        try:
            result = run_plan(
                plan,
                limits=_TRIAL,
                stop=threading.Event(),
                on_line=lambda _, line: lines.append(line),
            )
        except SandboxUnavailable as error:
            return error.message
        return "" if result.outcome == "finished" else f"{result.outcome}: {lines[-1:]}"


def _readable() -> list[str]:
    """Return what builders need beside the system: this interpreter, its packages, programs."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PROGRAMS)}
    return sorted(paths | {os.path.realpath(path) for path in paths})
