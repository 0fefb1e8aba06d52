"""The last steps before a build's program: its surroundings, its limits, its rights."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from builds.clients.launcher import bubblewrap, jail, kernel, landlock
from builds.clients.launcher.plan import Plan

_NICENESS: Final = 10
_OPEN_FILES: Final = 1024
READY: Final = b"ready"


def start(plan: Plan) -> None:
    """Become the build's program, in a child that was just forked. Does not return.

    What goes wrong is written to `ready_fd`, which closes by itself when the program starts.
    """
    try:
        # A session of its own: a signal to the build's process group must not reach the launcher.
        os.setsid()
        os.nice(_NICENESS)
        os.umask(0o022)
        _keep_descriptors(plan.ready_fd)
        for number in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
        ):
            signal.signal(number, signal.SIG_DFL)
        if plan.level == "bubblewrap":
            _become_bubblewrap(plan)
        if plan.level == "namespaces":
            jail.enter(plan)
        enter(plan)
    except BaseException as error:
        _report(plan.ready_fd, f"{type(error).__name__}: {error}".encode())
    os._exit(126)


def enter(plan: Plan) -> None:
    """Take the limits, give up every right, and become the program. Does not return."""
    try:
        _set_limits(plan)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if plan.level == "landlock":
            landlock.restrict(plan)
        if plan.uid is not None:
            os.setgroups([])
            os.setresgid(plan.uid, plan.uid, plan.uid)
            os.setresuid(plan.uid, plan.uid, plan.uid)
        # After the change of user, which clears it.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(plan.workspace)
        os.set_inheritable(plan.ready_fd, False)
        os.write(plan.ready_fd, READY)
        os.execve(plan.command[0], plan.command, plan.environment)  # noqa: S606
    except BaseException as error:
        _report(plan.ready_fd, f" {plan.command[0]}: {type(error).__name__}: {error}".encode())
    os._exit(126)


def _become_bubblewrap(plan: Plan) -> None:
    """Enter the namespaces that bubblewrap makes; there, this module takes the last steps."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_inheritable(plan.ready_fd, True)
    launcher = Path(__file__).parent
    inner = dataclasses.replace(plan, bubblewrap="")
    command = [sys.executable, "-I", "-S", str(launcher / "__main__.py"), "enter", inner.to_json()]
    arguments = bubblewrap.arguments(plan, [str(launcher)])
    os.execve(plan.bubblewrap, [plan.bubblewrap, *arguments, "--", *command], plan.environment)  # noqa: S606


def _set_limits(plan: Plan) -> None:
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (plan.cpu_s, plan.cpu_s + 5),
        resource.RLIMIT_DATA: (plan.memory_bytes, plan.memory_bytes),
        resource.RLIMIT_FSIZE: (plan.output_bytes, plan.output_bytes),
        resource.RLIMIT_NOFILE: (_OPEN_FILES, _OPEN_FILES),
        resource.RLIMIT_NPROC: (plan.processes, plan.processes),
    }
    for which, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


def _keep_descriptors(ready_fd: int) -> None:
    """Nothing to read; standard output and error as they are; nothing else but `ready_fd`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.closerange(3, ready_fd)
    os.closerange(ready_fd + 1, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _report(descriptor: int, message: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, message[:1000])
