"""`manage.py demo`: the story that `make demo` tells, told to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from builds.builders import npm
from builds.management.demo import can_run_code
from tests.faults.ups import STOP_S, Ups, systems
from tests.processes import Running

DEMO_S = 280.0
DRIFT = (
    "UPDATE credits_account SET issued = issued + 5, charged = charged + 5"
    " WHERE organization_id = %s"
)


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


def has_ended_as_told(told: dict[str, Any]) -> None:
    """Each of the five came to its own end; nothing was charged for a replay, nothing drifts."""
    assert [build["state"] for build in told["builds"]] == ["deployed", "deployed"]
    assert [build["state"] for build in told["batch"]] == [
        *("deployed", "deployed", "deployed"),
        *("failed", "cancelled"),
    ]
    assert [bool(build["url"]) for build in told["batch"]] == [True, True, True, False, False]
    assert len({build["id"] for build in told["builds"] + told["batch"]}) == 7
    assert told["replayed"]["done"] > 0 and told["replayed"]["charged"] == 0
    # A build is at least one credit; each of the seven has held and resolved.
    assert told["creditsCharged"] >= 5
    assert told["statementEntries"] >= 2 + 2 * 7


# B-01 B-05 B-06 B-07 B-08 B-09 C-01 C-04 C-06 D-03 E-01 O-09
def test_demo__nothing_running__tells_it_all_and_leaves_nothing(ups: Ups) -> None:
    demo = ups.spawn("demo")
    told, said = summary(demo), demo.output()
    has_ended_as_told(told)
    assert told["deadLettersRequeued"] == 1
    assert told["accountsDrifting"] == 0
    assert told["seconds"] < 300
    # What can be built here is: with code of its own under bubblewrap, with Node where that is.
    wanted = ["static", "sphinx" if can_run_code() else "mkdocs"]
    wanted += ["npm" if can_run_code() and npm.BUILDER.is_offered else "mkdocs"]
    assert [build["builder"] for build in told["batch"]] == [*wanted, "mkdocs", "mkdocs"]
    assert "Unrecognised theme name: 'material'" in said
    seen, asked = said.index("seen in state building"), said.index("cancelled: ")
    assert seen < asked < said.index("A replay of") < said.index("The statement")
    assert said.index("The statement") < said.index("drifting: 0; broken statements: 0")
    assert not [found for found in psutil.process_iter() if is_below(found, ups.home)]


# C-06 O-09
@pytest.mark.timeout(600)
def test_demo__system_running__uses_it_again_and_sees_drift(ups: Ups) -> None:
    # The story is told where sites may not bring code, too.
    up = ups.start(BUILD_SANDBOX="off")
    up.wait_ready()
    demo, other = (
        json.loads(ups.manage("bootstrap", "--organization", name, "--json"))
        for name in ("Demo", "Elsewhere")
    )
    reached = ups.spawn("demo", "--url", up.servers["API_URL"], "--api-key", demo["apiKey"])
    told = summary(reached)
    has_ended_as_told(told)
    assert {build["builder"] for build in told["batch"]} == {"static", "mkdocs"}
    assert (told["deadLettersRequeued"], told["accountsDrifting"]) == (0, None)
    assert "no operator's login was given" in reached.output()

    with up.as_superuser() as superuser:
        superuser.execute("ALTER TABLE credits_account DISABLE TRIGGER USER")
        superuser.execute(DRIFT, (other["organizationId"],))
        superuser.execute("ALTER TABLE credits_account ENABLE TRIGGER USER")
    drifting = ups.spawn("demo", BUILD_SANDBOX="off")
    assert drifting.wait(DEMO_S) == 1
    # Its own account is in order, once more; somebody else's is not.
    assert "as CSV, as JSON lines and in pages: the same entries" in drifting.output()
    assert "reconcile_credits failed" in drifting.output()
    assert "account.issued" in drifting.output()
    assert up.is_answering()
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
