"""Choose how builds are kept apart on this machine, by trying."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from typing import Final

from django.conf import settings

from builds.clients.launcher.plan import Level
from builds.clients.sandbox.limits import SandboxLimits
from builds.clients.sandbox.plans import make_plan
from builds.clients.sandbox.process import run_plan
from builds.clients.storage import workspace as lend_workspace
from builds.errors import SandboxUnavailable

logger = logging.getLogger("flagship.builds")

_LEVELS: Final[dict[str, tuple[Level, ...]]] = {
    "auto": ("bubblewrap", "namespaces", "landlock", "process"),
    "required": ("bubblewrap",),
    "off": ("namespaces", "landlock", "process"),
}
_TRIAL: Final = SandboxLimits(timeout_s=60, cpu_s=60)

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
