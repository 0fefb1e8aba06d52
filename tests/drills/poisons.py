"""Jobs that harm the process they run in, each in its way; bounded, so that the machine is safe."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import ClassVar, Final, Literal

from jobs.context import JobContext
from jobs.payloads import Payload
from jobs.queues import USAGE
from jobs.registry import handler
from jobs.retry import never

MIB: Final = 2**20
EATEN_MIB: Final = 1_200
LONG_S: Final = 120


class Poison(Payload):
    """What it does to its process.

    die: kills it. eat: takes 1.2 GiB of memory and stays. freeze: blocks in C and keeps the
    interpreter from everybody. stick: blocks in C, alone, and hears no interruption. spin: computes
    without end.
    """

    KIND: ClassVar[str] = "drills.poison"

    way: Literal["die", "eat", "freeze", "stick", "spin"]


@handler(Poison, queue=USAGE, timeout_s=1.0, retry=never())
def poison(payload: Poison, context: JobContext) -> None:
    """Do it."""
    WAYS[payload.way]()


def die() -> None:
    """Be killed as the kernel's out-of-memory killer does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def eat() -> None:
    """Take memory and use it, up to a bound; keep it whatever is raised."""
    eaten: list[bytearray] = []
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        try:
            if len(eaten) * 50 < EATEN_MIB:
                eaten.append(bytearray(50 * MIB))
            time.sleep(0.01)
        except MemoryError:
            raise
        except BaseException:
            continue


def freeze() -> None:
    """Sleep in C without giving the interpreter back."""
    ctypes.PyDLL(None).sleep(LONG_S)


def stick() -> None:
    """Sleep in C; other threads run on."""
    time.sleep(LONG_S)


def spin() -> None:
    """Compute."""
    while True:
        pass


WAYS: Final[dict[str, Callable[[], None]]] = {
    "die": die,
    "eat": eat,
    "freeze": freeze,
    "stick": stick,
    "spin": spin,
}
