"""Processes that a killed run left behind: found by a mark in their environment, ended by pid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "FLAGSHIP_SUPERVISED_IN"
GENTLE_S = 5.0


def end_leftovers(home: Path) -> int:
    """End every process that an earlier run started for this home; return how many there were.

    Only called under the home's lock: no living run can own one of them. The mark is inherited,
    so it finds children of children too, and it cannot be confused as a reused pid can.
    """
    found = list(_marked(home))
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=GENTLE_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=GENTLE_S)
    return len(found)


def _marked(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        # Zombies and other people's processes cannot be read, and are not ours to end.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(home) and process.pid != psutil.Process().pid:
                yield process
