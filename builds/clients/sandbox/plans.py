"""Write down what the launcher has to know about a build."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from builds.builders.builder import PROGRAMS
from builds.clients.launcher.plan import Level, Plan
from builds.clients.sandbox.limits import SandboxLimits
from builds.clients.storage import remove_tree

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


def make_plan(
    level: Level,
    command: Sequence[str],
    *,
    workspace: Path,
    writable: Sequence[Path],
    limits: SandboxLimits,
) -> Plan:
    """Return the plan of a build; makes its `home` and `tmp` in the workspace, `tmp` anew."""
    private = [workspace / "home", workspace / "tmp"]
    # The sandbox puts its mounts into it and must not meet what a build has left there.
    if os.path.lexists(private[1]):
        remove_tree(private[1])
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


def _readable() -> list[str]:
    """Return what builders need beside the system: this interpreter, its packages, programs."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PROGRAMS)}
    return sorted(paths | {os.path.realpath(path) for path in paths} | set(_interpreter_links()))


def _interpreter_links() -> Iterator[str]:
    """Yield the links from a virtual environment's python to the program itself.

    One of them may lie in a directory that is neither the environment nor the installation, as
    with an interpreter that is on the PATH by a link of its own.
    """
    path = sys.executable
    while os.path.islink(path):
        if not Path(path).is_relative_to(sys.prefix):
            yield path
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
