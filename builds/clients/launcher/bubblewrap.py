"""The arguments for bubblewrap (https://github.com/containers/bubblewrap)."""

from __future__ import annotations

import os
from pathlib import Path

from builds.clients.launcher.plan import Plan
from builds.clients.launcher.view import View, view_of


def arguments(plan: Plan, readable: list[str]) -> list[str]:
    """Return how to start: new namespaces, no network, and only what the build needs to see.

    An ordinary user's sandbox is a user namespace. Root's is not: bubblewrap keeps the two
    capabilities with which the step inside becomes the build's own user and then loses them.
    Inside, nothing of the host can be written but the workspace's writable directories.
    """
    words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "build"]
    words += ["--cap-drop", "ALL"]
    if plan.uid is None:
        words += ["--unshare-user"]
    else:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    words += _mounts(view_of(plan, readable))
    return [*words, "--remount-ro", "/"]


def _mounts(view: View) -> list[str]:
    words = ["--proc", "/proc", "--dev", "/dev"]
    # First: the interpreter or the workspace may lie below /tmp.
    for path in view.scratch_mounts:
        words += ["--bind", view.scratch, path]
    words += _parents(view)
    for path in view.readable:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        else:
            words += ["--ro-bind", path, path]
    for path in view.workspace_readable:
        words += ["--ro-bind", path, path]
    for path in view.writable:
        words += ["--bind", path, path]
    return [*words, "--remount-ro", "/dev"]


def _parents(view: View) -> list[str]:
    """Make the directories above what is shown; bubblewrap would make them private to root."""
    shown = [*view.readable, *view.workspace_readable, *view.writable]
    parents = {str(parent) for path in shown for parent in Path(path).parents}
    return [word for path in sorted(parents - {"/"}) for word in ("--dir", path)]
