"""A root directory of the build's own, made by root where bubblewrap is not installed.

The interpreter may lie below a private directory (a checkout in root's home) that the build's
user cannot enter. Opening that directory, or letting the build pass through every directory, would
show it far more than it needs; here it sees a file system that holds only what it needs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from builds.clients.launcher import kernel
from builds.clients.launcher.plan import Plan
from builds.clients.launcher.view import DEVICES, view_of

_NAMESPACES: Final = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
)
_SAFE: Final = kernel.MS_NOSUID | kernel.MS_NODEV


def enter(plan: Plan) -> None:
    """Leave the host's file system, network and IPC for private ones.

    Raises: OSError where the kernel, or a container around us, refuses.
    """
    view = view_of(plan, [])
    kernel.unshare(_NAMESPACES)
    # What is mounted here must not appear outside.
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    root = Path(plan.workspace)
    bindings = [(path, True) for path in view.readable if not os.path.islink(path)]
    bindings += [(path, True) for path in view.workspace_readable]
    bindings += [(path, False) for path in view.writable]
    bindings += [(path, False) for path in DEVICES]
    # The new root is mounted over the workspace, whose own directories are bound into it: hold
    # everything by descriptor first.
    handles = {path: os.open(path, os.O_PATH) for path, _ in bindings}
    scratch = os.open(view.scratch, os.O_PATH)
    links = {path: os.readlink(path) for path in view.readable if os.path.islink(path)}
    kernel.mount("tmpfs", str(root), "tmpfs", _SAFE, "mode=0755,size=1m")
    # First: the interpreter or the workspace may lie below /tmp.
    for path in view.scratch_mounts:
        _bind(scratch, _below(root, path), is_read_only=False, is_device=False)
    for path, target in links.items():
        _below(root, path).parent.mkdir(parents=True, exist_ok=True)
        _below(root, path).symlink_to(target)
    for path, is_read_only in bindings:
        _bind(handles[path], _below(root, path), is_read_only, path in DEVICES)
    _switch(root)


def _bind(handle: int, target: Path, is_read_only: bool, is_device: bool) -> None:
    source = f"/proc/self/fd/{handle}"
    if os.path.isdir(source):
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.mount(source, str(target), "", kernel.MS_BIND | kernel.MS_REC)
    flags = kernel.MS_NOSUID if is_device else _SAFE
    flags |= kernel.MS_RDONLY if is_read_only else 0
    kernel.mount("none", str(target), "", kernel.MS_BIND | kernel.MS_REMOUNT | flags)


def _switch(root: Path) -> None:
    """Make `root` the root directory and let go of the old one."""
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", kernel.MNT_DETACH)
    os.chdir("/")
    kernel.mount("none", "/", "", kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | _SAFE)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
