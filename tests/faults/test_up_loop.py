"""The loop under `manage.py up`, with parts that are a line of shell each."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flagship.management.supervisor.child import Part
from flagship.management.supervisor.loop import CrashLoop, Loop
from flagship.management.supervisor.stop import StopRequest, listening

LIMIT_S = 20.0
PATH = f"{os.environ['PATH']}:/usr/bin:/bin"


class Ran:
    """A loop in this process, what it printed, and ways to tell it things while it runs."""

    def __init__(self, cwd: Path, stop: StopRequest, waker: int) -> None:
        self.stop = stop
        self.lines: list[str] = []
        self.ready: list[float] = []
        self.cwd = cwd
        self.loop = Loop(
            environment={"PATH": PATH},
            cwd=cwd,
            stop=stop,
            waker=waker,
            write=lambda name, line: self.lines.append(f"{name}| {line}"),
        )

    def run(self, *parts: Part, until: Callable[[], bool]) -> None:
        """Run the parts until the predicate holds, then stop; fail after LIMIT_S."""
        deadline = time.monotonic() + LIMIT_S

        def tend() -> None:
            if until() or time.monotonic() > deadline:
                self.stop.ask()

        self.loop.run(parts, on_ready=lambda: self.ready.append(time.monotonic()), tend=tend)
        assert until(), self.lines

    def says(self, text: str) -> bool:
        """Whether a line holds the text."""
        return any(text in line for line in self.lines)


@pytest.fixture
def ran(tmp_path: Path) -> Iterator[Ran]:
    stop = StopRequest()
    before = set(psutil.Process().children(recursive=True))  # the suite's own servers
    with listening(stop) as waker:
        ran = Ran(tmp_path, stop, waker)
        yield ran
        ran.loop.close()
    assert set(psutil.Process().children(recursive=True)) <= before


def shell(name: str, script: str, **options: object) -> Part:
    """A part that runs a line of shell."""
    return Part(name, ("/bin/sh", "-c", script), **options)  # type: ignore[arg-type]


# O-09
def test_loop__part_dies_after_ready__is_started_again_and_said(ran: Ran) -> None:
    part = shell("api", "echo start; sleep 60")

    def kill_first() -> bool:
        if ran.ready and ran.lines.count("api| start") == 1:
            child = ran.loop.slots[0].child
            if child is not None:
                os.kill(child.pid, signal.SIGKILL)
        return ran.lines.count("api| start") == 2

    ran.run(part, until=kill_first)
    assert ran.says("up| api ended: SIGKILL; restart in 0.5 s")
    assert len(ran.ready) == 1


def test_loop__part_dies_at_once_before_ready__gives_up_and_says_which(ran: Ran) -> None:
    with pytest.raises(CrashLoop, match=r"worker ended 4 times in a row .* exit code 7"):
        ran.run(
            shell("worker", "echo no such queue; exit 7", is_up=lambda pid: False),
            shell("api", "sleep 60"),
            until=lambda: False,
        )
    assert ran.lines.count("worker| no such queue") == 4
    assert not ran.ready


def test_loop__part_dies_at_once_after_ready__is_tried_on_with_growing_pauses(ran: Ran) -> None:
    flag = ran.cwd / "flag"
    part = shell("worker", f"[ -e {flag} ] && exit 3; sleep 60")

    def broken() -> bool:
        if ran.ready and not flag.exists():
            flag.touch()
            child = ran.loop.slots[0].child
            if child is not None:
                os.kill(child.pid, signal.SIGKILL)
        return ran.says("death 3 in a row")

    ran.run(part, until=broken)
    assert ran.says("restart in 0.5 s")
    assert ran.says("death 2 in a row); restart in 1 s")
    assert ran.says("death 3 in a row); restart in 2 s")


def test_loop__stop__ends_ranks_in_order_and_waits_for_draining(ran: Ran) -> None:
    trap = "trap 'sleep 0.5; echo drained; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    parts = [
        shell("scheduler", trap, stop_rank=2),
        shell("worker", trap, stop_rank=1),
        shell("api", trap, stop_rank=0),
        shell("streams", trap, stop_rank=0),
    ]
    ran.run(*parts, until=lambda: sum(line.endswith("| up") for line in ran.lines) == 4)
    tail = [line for line in ran.lines if "stopping" in line or "drained" in line]
    assert tail[0] == "up| stopping api, streams"
    assert sorted(tail[1:3]) == ["api| drained", "streams| drained"]
    assert tail[3:] == [
        "up| stopping worker",
        "worker| drained",
        "up| stopping scheduler",
        "scheduler| drained",
    ]


def test_loop__second_signal__does_not_wait_for_the_drain(ran: Ran) -> None:
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    started = time.monotonic()
    for after_s in (1.0, 1.5):
        threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGTERM)).start()
    ran.run(
        shell("worker", stubborn, drain_s=60.0),
        until=lambda: ran.stop.requested,
    )
    assert time.monotonic() - started < 10
    assert ran.says("worker did not end in time: killed")


def test_loop__leader_killed__its_children_go_with_it(ran: Ran) -> None:
    part = shell("api", "sleep 61 & sleep 61 & echo up; wait")
    groups: list[int] = []

    def killed() -> bool:
        child = ran.loop.slots[0].child
        if ran.says("api| up") and child is not None and not groups:
            groups.append(child.pid)
            assert len(psutil.Process(child.pid).children()) == 2
            os.kill(child.pid, signal.SIGKILL)
        return ran.says("api ended")

    ran.run(part, until=killed)
    assert not [pid for pid in psutil.pids() if _lives_in(pid, groups[0])]


def _lives_in(pid: int, group: int) -> bool:
    """Whether a process, not merely its exit code waiting for init, is in a group."""
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_loop__output_of_many_kinds__arrives_whole_and_in_order(ran: Ran) -> None:
    script = r"printf 'half'; sleep 0.3; printf ' line\r\n\377\n'; seq 1 20000; printf 'no newline'"
    ran.run(shell("api", script), until=lambda: ran.says("api ended"))
    heard = [line.removeprefix("api| ") for line in ran.lines if line.startswith("api| ")]
    count = heard.index("no newline") + 1
    assert heard[:count] == ["half line", "�", *map(str, range(1, 20001)), "no newline"]


def test_task__stopped_while_it_runs__is_ended(ran: Ran) -> None:
    threading.Timer(0.5, ran.stop.ask).start()
    code = ran.loop.run_task(shell("migrate", "sleep 60"), {"PATH": PATH})
    assert code == -signal.SIGTERM
