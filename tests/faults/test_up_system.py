"""`manage.py up` as people use and abuse it: real servers, real processes, real signals."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.faults.ups import Up, Ups, alive, gone, systems
from tests.processes import wait_until
from tests.servers import Servers

PARTS = {"rqworker", "rqscheduler", "wsgi", "asgi"}
SERVERS = {"valkey-server", "postgres"}
ORGANIZATIONS = "SELECT count(*) FROM flagship_organization"


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[Ups]:
    with systems(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One system for the tests that only hurt it and watch it heal."""
    with systems(tmp_path_factory.mktemp("up")) as started:
        up = started.start()
        up.wait_ready()
        yield up


# O-09
def test_up__nothing_given__is_ready_leaves_nothing_and_comes_back(ups: Ups) -> None:
    up = ups.start()
    up.wait_ready()
    assert set(up.processes()) == PARTS | SERVERS
    assert up.is_answering()
    streams = httpx.get(f"{up.servers['STREAMS_URL']}/healthz", timeout=5, trust_env=False)
    assert streams.status_code == 200
    # Private files, and nobody but the migration got the owner's password.
    for name in ("secrets.json", "servers.json"):
        assert (up.home / name).stat().st_mode & 0o077 == 0
    for name in PARTS:
        given = up.processes()[name].environ()
        assert "DATABASE_OWNER_URL" not in given
        assert "flagship_app" in given["DATABASE_URL"]

    ups.manage("bootstrap", "--organization", "Kept", "--json")
    before, tree = up.servers, up.tree()
    assert len(tree) > 7
    assert up.stop() == 0
    assert not alive(tree)
    assert "API_URL" not in up.servers
    lines = [line.split("| ")[1] for line in up.running.output().splitlines()]
    wanted = [
        "stopping api, streams",
        "stopping worker",
        "stopping scheduler",
        "stopping PostgreSQL, Valkey",
        "stopped",
    ]
    assert [line for line in lines if line.startswith("stop")] == wanted

    # Started again it finds its data and addresses.
    second = ups.start()
    second.wait_ready()
    assert second.query(ORGANIZATIONS) == 1
    for name in ("DATABASE_URL", "REDIS_URL"):
        assert second.servers[name] == before[name]

    # Killed, all of it goes but what cannot, and the next start ends that.
    tree, deaf = second.tree(), second.processes()["rqworker"]
    deaf.suspend()
    second.stop(signal.SIGKILL)
    gone([process for process in tree if process != deaf], 60)
    assert alive([deaf])
    third = ups.start()
    third.wait_ready()
    assert "ended 1 process that an earlier run left behind" in third.running.output()
    gone([deaf])
    assert third.query(ORGANIZATIONS) == 1
    assert set(third.processes()) == PARTS | SERVERS
    assert third.stop(signal.SIGINT) == 0


# O-09
def test_up__second_on_the_same_home__is_refused_and_names_the_holder(up: Up, ups: Ups) -> None:
    other = ups.start(FLAGSHIP_HOME=str(up.home))
    assert other.running.wait(30) == 1
    assert f"is in use by process {up.running.pid}" in other.running.output()
    assert up.is_answering()


# O-09
@pytest.mark.parametrize("name", sorted(PARTS))
def test_up__part_killed__is_started_again(up: Up, name: str) -> None:
    victim = up.processes()[name]
    family = [victim, *victim.children(recursive=True)]
    victim.kill()
    wait_until(
        lambda: up.processes().get(name, victim).pid != victim.pid,
        30,
        lambda: up.running.output()[-3000:],
    )
    wait_until(up.is_answering, 30, lambda: up.running.output()[-3000:])
    gone(family)
    assert up.running.output().count("| ready:") == 1


# O-09
def test_up__one_api_process_killed__the_other_answers_and_it_comes_back(up: Up) -> None:
    wait_until(lambda: len(_workers(up)) == 2, 30)
    victim = _workers(up)[0]
    victim.kill()
    wait_until(lambda: len(_workers(up)) == 2 and victim not in _workers(up), 30)
    wait_until(up.is_answering, 10)


def _workers(up: Up) -> list[psutil.Process]:
    """The processes that answer: granian's children that hold a copy of the application."""
    return [child for child in up.processes()["wsgi"].children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline()) or "granian" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


# O-09
@pytest.mark.parametrize(
    ("name", "said"), [("valkey-server", "Valkey"), ("postgres", "PostgreSQL")]
)
def test_up__server_killed__is_started_again(up: Up, name: str, said: str) -> None:
    before = up.running.output().count(f"{said} ended and was started again")
    up.processes()[name].kill()
    wait_until(
        lambda: up.running.output().count(f"{said} ended and was started again") == before + 1,
        60,
        lambda: up.running.output()[-3000:],
    )
    wait_until(up.is_answering, 30, lambda: up.running.output()[-3000:])


# O-09
def test_up__servers_given__uses_them_and_starts_none(
    ups: Ups, live_db: None, servers: Servers
) -> None:
    given: dict[str, Any] = {
        name: os.environ[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    }
    up = ups.start(**given, FLAGSHIP_SECRET_KEY="given-" + "x" * 50)
    up.wait_ready()
    assert set(up.processes()) == PARTS
    for process in up.processes().values():
        assert process.environ()["DATABASE_URL"] == given["DATABASE_URL"]
        assert process.environ()["REDIS_URL"] == given["REDIS_URL"]
    kept = {path.name for path in up.home.iterdir()}
    assert not kept & {"postgres", "valkey", "secrets.json"}
    tree = up.tree()
    assert up.stop(signal.SIGHUP) == 0
    assert not alive(tree)


# O-09
def test_up__port_taken__is_refused_before_anything_runs(ups: Ups) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = ups.start("--port", str(port))
        assert up.running.wait(60) == 1
    assert f"port {port} is taken" in up.running.output()
    assert "api       |" not in up.running.output()
