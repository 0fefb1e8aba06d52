"""The processes that a build started, however they hid: found in /proc, counted and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PAUSE_S: Final = 0.005


def descendants(root: int) -> dict[int, int]:
    """Return the living processes below `root` with their resident memory in bytes.

    `root` is a child subreaper, so that a process whose parents are gone is still below it.
    """
    children: dict[int, list[int]] = {}
    resident: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The name in parentheses may hold anything, also blanks and parentheses.
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(name))
            if fields[0] not in (b"Z", b"X"):
                resident[int(name)] = int(fields[21]) * _PAGE_BYTES
    found: dict[int, int] = {}
    pending = [root]
    while pending:
        for pid in children.get(pending.pop(), ()):
            pending.append(pid)
            if pid in resident:
                found[pid] = resident[pid]
    return found


def memory_bytes(processes: dict[int, int], limit_bytes: int) -> int:
    """Return the memory of processes; exact only when it matters.

    Resident sizes count shared pages once per process. Only when their sum passes the limit the
    kernel is asked for each one's share, which is dearer.
    """
    total = sum(processes.values())
    return total if total <= limit_bytes else sum(map(_share, processes, processes.values()))


class Tree:
    """Everything that a build started; this process has to be a child subreaper."""

    def __init__(self, main: int) -> None:
        self._main = main
        self.exit_code: int | None = None

    def reap(self) -> bool:
        """Collect ended children, remember the main one's code; return whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = 128 - code if code < 0 else code

    def end(self, limit_s: float = 10.0) -> bool:
        """Kill until nothing is left; False when something did not end in time.

        What forks away between the look and the kill is found at the next look: this process is
        the parent of whatever has lost its own, so "no children" means that nobody is left.
        """
        until = time.monotonic() + limit_s
        while self.reap():
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE_S)
        return True


def _share(pid: int, resident_bytes: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except PermissionError:
        return resident_bytes
    except OSError:
        pass
    # Ended meanwhile.
    return 0
