"""`manage.py demo`: the story that `make demo` tells, told to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.ups import STOP_S, Ups, systems
from tests.processes import Running

DEMO_S = 280.0


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[Ups]:
    with systems(tmp_path) as started:
        yield started


def summary(demo: Running) -> dict[str, Any]:
    """Wait for a demo's end; return its last line."""
    assert demo.wait(DEMO_S) == 0, demo.output()[-5000:]
    return dict(json.loads(demo.output().splitlines()[-1]))


def is_below(process: psutil.Process, home: Path) -> bool:
    """Whether a process belongs to the system of a home."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return any(str(home) in word for word in [*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return False


# B-01 B-05 B-06 C-01 C-04 D-03 E-01 O-09
def test_demo__nothing_running__tells_it_all_and_leaves_nothing(ups: Ups) -> None:
    demo = ups.spawn("demo")
    told = summary(demo)
    assert [build["state"] for build in told["builds"]] == ["deployed", "deployed", "failed"]
    assert [bool(build["url"]) for build in told["builds"]] == [True, True, False]
    assert len({build["id"] for build in told["builds"]}) == 3
    assert told["creditsCharged"] > 0
    assert told["deadLettersRequeued"] == 1
    assert told["seconds"] < 300
    assert "Unrecognised theme name: 'no-such-theme'" in demo.output()
    assert not [found for found in psutil.process_iter() if is_below(found, ups.home)]


# O-09
def test_demo__system_running__uses_it_again_and_again(ups: Ups) -> None:
    up = ups.start()
    up.wait_ready()
    first, second = summary(ups.spawn("demo")), summary(ups.spawn("demo"))
    assert first["creditsCharged"] == second["creditsCharged"]
    assert up.is_answering()

    made = json.loads(ups.manage("bootstrap", "--organization", "Elsewhere", "--json"))
    reach = ("--url", up.servers["API_URL"], "--api-key", made["apiKey"])
    elsewhere = ups.spawn("demo", *reach)
    assert summary(elsewhere)["deadLettersRequeued"] == 0
    assert "no operator's login was given" in elsewhere.output()
    assert up.stop() == 0


# O-09
def test_demo__nobody_at_the_address__says_so_and_exits_1(ups: Ups) -> None:
    demo = ups.spawn("demo", "--url", "http://127.0.0.1:1", "--api-key", "none")
    assert demo.wait(60) == 1
    assert "CommandError: POST /v1/projects" in demo.output()


# O-09
def test_demo__system_does_not_start__shows_why_and_exits_1(ups: Ups) -> None:
    ups.home.mkdir()
    (ups.home / "postgres").mkdir()
    (ups.home / "postgres" / "PG_VERSION").write_text("9")
    demo = ups.spawn("demo")
    assert demo.wait(STOP_S) == 1
    assert "belongs to PostgreSQL 9, not 18" in demo.output()
