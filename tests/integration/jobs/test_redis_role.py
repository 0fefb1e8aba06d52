"""The role that docs/deploy.md gives the system in Redis, taken out of it and tried."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.payloads import Touch
from tests.processes import Processes

DEPLOY = Path(__file__).resolve().parents[3] / "docs" / "deploy.md"
ROLE = "flagship"


def rules() -> list[str]:
    """What the page says behind the role's name."""
    (line,) = re.findall(r"^ACL SETUSER flagship (.*)$", DEPLOY.read_text(), re.M)
    return str(line).replace(">...", ">secret").split()


def command(valkey: redis.Redis, *words: str) -> None:
    valkey.execute_command("ACL", *words)  # type: ignore[no-untyped-call]


@pytest.fixture
def role_url(valkey: redis.Redis) -> Iterator[str]:
    """The address of the server as that role."""
    command(valkey, "SETUSER", ROLE, "reset", *rules())
    command(valkey, "LOG", "RESET")
    parts = urlsplit(os.environ["REDIS_URL"])
    host = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{ROLE}:secret@{host}"))
    command(valkey, "DELUSER", ROLE)


def refused(valkey: redis.Redis) -> list[tuple[str, str]]:
    """What the role was not allowed to do."""
    return sorted((str(each["reason"]), str(each["object"])) for each in valkey.acl_log())


def test_role__without_one_of_its_rules__is_seen_to_lack_it(
    valkey: redis.Redis, role_url: str
) -> None:
    # W-12: the proof below can see.
    command(valkey, "SETUSER", ROLE, "-info")
    with redis.Redis.from_url(role_url) as client:
        for ask in (client.info, client.flushall, lambda: client.get("strange")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                ask()

    assert refused(valkey) == [("command", "flushall"), ("command", "info"), ("key", "strange")]


def test_role__as_documented__is_enough_for_every_process(
    live_db: None, valkey: redis.Redis, processes: Processes, role_url: str
) -> None:
    # W-08, W-12
    env = {"REDIS_URL": role_url, "SWEEP_INTERVAL_S": "0.2"}
    job = enqueue(Touch(key="k"))
    scheduler = processes.start("rqscheduler", env=env)
    worker = processes.start("rqworker", env=env)
    for arguments in (["rqstats"], ["rebuild_queues", "--empty"]):
        assert processes.start(*arguments, env=env).wait() == 0

    def is_done() -> bool:
        job.refresh_from_db()
        return job.state == "succeeded"

    wait_until(is_done, 60, lambda: scheduler.output() + worker.output())
    wait_until(lambda: bool(valkey.get("flagship:jobs:filled")), 30, scheduler.output)
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 0
    assert refused(valkey) == []
