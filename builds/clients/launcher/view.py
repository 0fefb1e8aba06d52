"""What a build can see of the file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builds.clients.launcher.plan import Plan

# Programs and libraries, and the few files in /etc that loading and running them asks for.
_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    *("/etc/localtime", "/etc/mime.types", "/etc/ssl/openssl.cnf"),
)
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# Programs that ignore TMPDIR get the workspace's directory under the usual names.
_SCRATCH_MOUNTS: Final = ("/tmp", "/dev/shm")  # noqa: S108


@dataclass(frozen=True, slots=True)
class View:
    """Paths by what may be done with them; everything else is not there."""

    readable: list[str]
    workspace_readable: list[str]
    writable: list[str]
    scratch: str
    scratch_mounts: tuple[str, ...] = _SCRATCH_MOUNTS


def view_of(plan: Plan, also_readable: list[str]) -> View:
    """Return what the build of a plan sees.

    The workspace itself is private to the worker's user; what lies in it is shown one by one.
    """
    readable: list[str] = []
    for path in (*_SYSTEM, *sorted(plan.readable), *also_readable):
        if os.path.lexists(path) and not any(Path(path).is_relative_to(seen) for seen in readable):
            readable.append(path)
    inside = sorted(os.path.join(plan.workspace, name) for name in os.listdir(plan.workspace))
    return View(
        readable=readable,
        workspace_readable=[path for path in inside if path not in plan.writable],
        writable=plan.writable,
        scratch=plan.environment["TMPDIR"],
    )
