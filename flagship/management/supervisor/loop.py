"""The loop that keeps parts running and ends them in order."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flagship.management.supervisor.child import Child, Part, describe_exit
from flagship.management.supervisor.stop import StopRequest

TICK_S = 0.25
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
# A part that ran this long was healthy: its next death starts the backoff anew.
STABLE_AFTER_S = 30.0
# Deaths in a row before the system was ever ready that mean: it cannot start like this.
GIVE_UP_AFTER = 4
HASTENED_S = 3.0
KILLED_WITHIN_S = 10.0


class CrashLoop(Exception):
    """A part dies as soon as it is started; the message says which and how."""


@dataclass(slots=True)
class Slot:
    """A part's place: its child, how often it died in a row, when to start it again."""

    part: Part
    child: Child | None = None
    deaths: int = 0
    start_at: float = 0.0
    is_up: bool = False


class Loop:
    """Runs children until told to stop.

    `write(name, line)` prints; `on_ready()` is called once, when every part is up; `tend()` is
    called each round and keeps alive what is not a part: the embedded servers.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        cwd: Path,
        stop: StopRequest,
        waker: int,
        write: Callable[[str, str], None],
    ) -> None:
        self.environment = environment
        self.cwd = cwd
        self.stop = stop
        self.waker = waker
        self.write = write
        self.slots: list[Slot] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)

    def close(self) -> None:
        """Release what the loop waits with."""
        self._selector.close()

    def run_task(self, part: Part, environment: Mapping[str, str]) -> int:
        """Run one command to its end, or stop it when told to stop; return its exit code."""
        child = self._start(part, environment)
        try:
            while not child.has_ended() and not self.stop.requested:
                self._pump()
        finally:
            code = self._end([child])
        return code

    def run(
        self,
        parts: Sequence[Part],
        *,
        on_ready: Callable[[], None],
        tend: Callable[[], None],
    ) -> None:
        """Keep the parts running until told to stop, then end them in the order given.

        Raises: CrashLoop when a part dies at once, again and again, before the first `ready`.
        """
        self.slots = [Slot(part) for part in parts]
        is_ready = False
        try:
            while not self.stop.requested:
                tend()
                self._start_due()
                self._pump()
                self._reap(give_up=not is_ready)
                if not is_ready and self._all_up():
                    is_ready = True
                    on_ready()
        finally:
            self._stop_all()

    def _start(self, part: Part, environment: Mapping[str, str]) -> Child:
        child = Child.start(part, environment, self.cwd)
        self._selector.register(child.output, selectors.EVENT_READ, child)
        return child

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self.slots:
            if slot.child is None and now >= slot.start_at:
                slot.child = self._start(slot.part, self.environment)

    def _pump(self, timeout_s: float = TICK_S) -> None:
        """Print what children wrote; wait for at most `timeout_s` seconds."""
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, Child):
                self._print(key.data)
            else:
                os.read(self.waker, 1024)

    def _print(self, child: Child) -> None:
        for line in child.read_lines():
            self.write(child.part.name, line)
        if child.is_silent:
            self._selector.unregister(child.output)

    def _finish(self, child: Child) -> int:
        """Print an ended child's last words and release it; return its exit code."""
        if not child.is_silent:
            self._print(child)
        if not child.is_silent:
            # Some child of its own holds the pipe; that one is about to be killed.
            self._selector.unregister(child.output)
        return child.close()

    def _reap(self, *, give_up: bool) -> None:
        for slot in self.slots:
            if slot.child is None or not slot.child.has_ended():
                continue
            age_s = slot.child.age_s
            words = describe_exit(self._finish(slot.child))
            slot.child, slot.is_up = None, False
            slot.deaths = 1 if age_s > STABLE_AFTER_S else slot.deaths + 1
            if give_up and slot.deaths >= GIVE_UP_AFTER:
                raise CrashLoop(
                    f"{slot.part.name} ended {slot.deaths} times in a row before the system was"
                    f" ready, last with {words}; its last lines are above"
                )
            wait_s = BACKOFF_S[min(slot.deaths, len(BACKOFF_S)) - 1]
            slot.start_at = time.monotonic() + wait_s
            again = f" (death {slot.deaths} in a row)" if slot.deaths > 1 else ""
            self.write("up", f"{slot.part.name} ended: {words}{again}; restart in {wait_s:g} s")

    def _all_up(self) -> bool:
        for slot in self.slots:
            if slot.child is not None and not slot.is_up:
                slot.is_up = slot.part.is_up(slot.child.pid)
        return all(slot.is_up for slot in self.slots)

    def _stop_all(self) -> None:
        """End the parts, one rank after the other."""
        for rank in sorted({slot.part.stop_rank for slot in self.slots}):
            slots = [slot for slot in self.slots if slot.part.stop_rank == rank]
            children = [slot.child for slot in slots if slot.child is not None]
            if children:
                self.write("up", "stopping " + ", ".join(child.part.name for child in children))
                self._end(children)

    def _end(self, children: Sequence[Child]) -> int:
        """Ask to stop, wait as long as these may drain, then kill their groups.

        Returns: the exit code of the last one.
        """
        hastened = self.stop.hastened
        limit_s = HASTENED_S if hastened else max(child.part.drain_s for child in children)
        until = time.monotonic() + limit_s
        for child in children:
            child.ask_to_stop()
        while any(not child.has_ended() for child in children):
            self._pump(0.05)
            if self.stop.hastened and not hastened:
                hastened, until = True, time.monotonic() + HASTENED_S
                for child in children:
                    child.ask_to_stop()
            if time.monotonic() > until:
                self._kill_late(children)
        return [self._finish(child) for child in children][-1]

    def _kill_late(self, children: Sequence[Child]) -> None:
        for child in children:
            if not child.has_ended():
                self.write("up", f"{child.part.name} did not end in time: killed")
                child.kill()
                child.popen.wait(KILLED_WITHIN_S)
