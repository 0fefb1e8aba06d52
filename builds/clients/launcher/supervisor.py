"""Watch one build from outside and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import selectors
import signal
import time
from typing import Final

from builds.clients.launcher import confine, kernel
from builds.clients.launcher.plan import Plan
from builds.clients.launcher.processes import Tree, descendants, memory_bytes

_TICK_S: Final = 0.5
_MEASURE_OUTPUT_S: Final = 1.0
_BLOCK_BYTES: Final = 4096
_DEPTH: Final = 64
# Above every range that distributions hand out (systemd, "Users, Groups, UIDs and GIDs"); with
# the launcher's own process id added, no two running builds share a user.
_FIRST_UID: Final = 1_879_048_192
_NOBODY: Final = 65534
_CPU_EXCEEDED: Final = 128 + signal.SIGXCPU
_STOPPING: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def supervise(plan: Plan) -> None:
    """Run the plan's command to its end, and report on `status_fd` how it ended.

    Whatever happens, no process of the build is left when this returns. The worker's death is
    noticed by the end of the file on standard input.
    """
    os.set_inheritable(plan.status_fd, False)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    # The build may run as the same user: it must not read or trace this process.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    report = _Supervisor(_adapted(plan)).run()
    with contextlib.suppress(OSError):
        os.write(plan.status_fd, json.dumps(report).encode())


class _Supervisor:
    def __init__(self, plan: Plan) -> None:
        self._started = time.monotonic()
        self._wake_up = _wake_up_on_signals()
        self._ready, ready_fd = os.pipe()
        self._plan = dataclasses.replace(plan, ready_fd=ready_fd)
        main = os.fork()
        if main == 0:
            confine.start(self._plan)
        os.close(ready_fd)
        # Only the build holds its output now: it ends when the last process does.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        self._tree = Tree(main)
        self._next_measure = 0.0

    def run(self) -> dict[str, object]:
        outcome = self._watch()
        duration_s = time.monotonic() - self._started
        self._tree.end()
        os.set_blocking(self._ready, False)
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._ready, 2000)
        if outcome == "ended":
            outcome = self._judge(said)
        return {
            "outcome": outcome,
            "exit_code": self._tree.exit_code,
            "duration_s": duration_s,
            "message": said.removeprefix(confine.READY).decode(errors="replace").strip(),
        }

    def _watch(self) -> str:
        """Wait for the first reason to end the build; return it."""
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        selector.register(self._wake_up, selectors.EVENT_READ)
        until = self._started + self._plan.timeout_s
        while True:
            pause_s = min(_TICK_S, max(0.0, until - time.monotonic()))
            ready = {key.fd for key, _ in selector.select(pause_s)}
            if 0 in ready:
                # One word from the worker, or its end.
                return os.read(0, 64).decode().strip() or "orphaned"
            if self._wake_up in ready and _STOPPING & set(os.read(self._wake_up, 4096)):
                return "stopped"
            self._tree.reap()
            if self._tree.exit_code is not None:
                return "ended"
            if time.monotonic() >= until:
                return "timed_out"
            if reason := self._passed_limit():
                return reason

    def _passed_limit(self) -> str:
        limit = self._plan.memory_bytes
        if memory_bytes(descendants(os.getpid()), limit) > limit:
            return "out_of_memory"
        now = time.monotonic()
        if now >= self._next_measure:
            is_too_large = _size_bytes(self._plan.writable) > self._plan.output_bytes
            # A huge tree is measured less often.
            self._next_measure = time.monotonic() + max(
                _MEASURE_OUTPUT_S, 10 * (time.monotonic() - now)
            )
            if is_too_large:
                return "output_limit"
        return ""

    def _judge(self, said: bytes) -> str:
        if said != confine.READY:
            return "unavailable"
        if self._tree.exit_code == 0:
            return "finished"
        return "timed_out" if self._tree.exit_code == _CPU_EXCEEDED else "failed"


def _adapted(plan: Plan) -> Plan:
    """Choose whom the build runs as, and give that user the workspace."""
    if os.geteuid() != 0:
        used = _own_tasks() if plan.level != "bubblewrap" else 0
        return dataclasses.replace(plan, processes=plan.processes + used)
    uid = _FIRST_UID + os.getpid()
    try:
        os.chown(plan.writable[0], uid, uid)
    except OSError:
        # A container that maps few users.
        uid = _NOBODY
    for path in plan.writable:
        os.chown(path, uid, uid)
    if plan.level in ("landlock", "process"):
        os.chown(plan.workspace, uid, uid)
    return dataclasses.replace(plan, uid=uid)


def _own_tasks() -> int:
    """Count the tasks of this user: the kernel's limit counts all of them, not the build's."""
    count = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _wake_up_on_signals() -> int:
    """Return a descriptor from which the numbers of arriving signals are read."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOPPING):
        signal.signal(number, lambda number, frame: None)
    # The worker's thread may have blocked some.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return reader


def _size_bytes(directories: list[str]) -> float:
    """Return what lies in directories; infinite where it is hidden from being counted.

    Every entry counts a block at least, so that empty files count as well. Sparse files count in
    full: publishing would fill them.
    """
    total = 0
    pending = [(path, 0) for path in directories]
    while pending:
        directory, depth = pending.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            pending.append((entry.path, depth + 1))
                        total += max(_BLOCK_BYTES, entry.stat(follow_symlinks=False).st_size)
        except FileNotFoundError:
            continue
        except OSError:
            return math.inf
        if depth > _DEPTH:
            return math.inf
    return total
