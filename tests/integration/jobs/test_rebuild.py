"""Redis filled again from PostgreSQL."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from redis.exceptions import NoPermissionError

from jobs.clients.doorbells import Ring, ring
from jobs.models import Job
from jobs.payloads import Probe
from jobs.queues import MAINTENANCE, USAGE
from jobs.services import rebuild as rebuild_module
from jobs.services import refill
from jobs.services.enqueue import enqueue
from jobs.services.publisher import publish_due
from jobs.services.rebuild import BATCH, rebuild_queue
from jobs.services.sweep import Sweeper
from tests.drills.payloads import Touch
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("live_db")


def queued(count: int) -> list[Job]:
    """Jobs on one queue whose doorbells are in Redis."""
    jobs = [enqueue(Touch(key=str(n))) for n in range(count)]
    publish_due()
    assert Job.objects.filter(state="queued").count() == count
    return jobs


def held(valkey: redis.Redis, queue: str = USAGE) -> list[str]:
    """The ids of jobs whose doorbells stand in a queue, in its order; each has its hash."""
    ids: Any = valkey.lrange(f"rq:queue:{queue}", 0, -1)
    assert valkey.exists(*(f"rq:job:{each.decode()}" for each in ids), "x") == len(set(ids))
    return [each.decode()[:32] for each in ids]


def rebuild(*arguments: str) -> str:
    """Run the command; return what it says."""
    out = io.StringIO()
    call_command("rebuild_queues", *arguments, stdout=out)
    return out.getvalue()


def test_rebuild__of_an_emptied_redis__rings_for_each_queued_job_in_order(
    valkey: redis.Redis,
) -> None:
    jobs = queued(3)
    other = enqueue(Probe())
    valkey.flushall()

    said = rebuild()

    assert held(valkey) == [job.id.hex for job in jobs]
    assert held(valkey, MAINTENANCE) == [other.id.hex]
    assert f"{USAGE}: 3 queued, 0 there, 3 pushed\n" in said
    assert f"{MAINTENANCE}: 1 queued, 0 there, 1 pushed\n" in said


def test_rebuild__run_twice__rings_once(valkey: redis.Redis) -> None:
    jobs = queued(3)
    valkey.lrem(f"rq:queue:{USAGE}", 1, f"{jobs[1].id.hex}-1s")
    valkey.delete(f"rq:job:{jobs[1].id.hex}-1s")

    assert rebuild_queue(queue=USAGE).missing == 1
    assert rebuild_queue(queue=USAGE).missing == 0
    assert len(held(valkey)) == 3


def test_rebuild__of_one_queue__leaves_the_others_alone(valkey: redis.Redis) -> None:
    queued(2)
    enqueue(Probe())
    valkey.flushall()

    said = rebuild(USAGE)

    assert len(held(valkey)) == 2
    assert held(valkey, MAINTENANCE) == []
    assert MAINTENANCE not in said


def test_rebuild__dry__counts_and_changes_nothing(valkey: redis.Redis) -> None:
    jobs = queued(3)
    valkey.delete(f"rq:job:{jobs[0].id.hex}-1s", f"rq:queue:{USAGE}")
    before = valkey.dbsize()

    assert f"{USAGE}: 3 queued, 2 there, 1 missing\n" in rebuild("--dry-run")
    assert f"{USAGE}: 3 queued, 0 there, 3 missing\n" in rebuild("--dry-run", "--empty")
    assert valkey.dbsize() == before


def test_rebuild__with_empty__clears_stale_bells_and_what_is_not_ours(
    valkey: redis.Redis,
) -> None:
    jobs = queued(2)
    valkey.rpush(f"rq:queue:{USAGE}", "0" * 32 + "-1", b"\xff")
    valkey.hset("rq:job:" + "0" * 32 + "-1", "data", "x")

    said = rebuild("--empty")

    assert held(valkey) == [job.id.hex for job in jobs]
    assert not valkey.exists("rq:job:" + "0" * 32 + "-1")
    assert f"{USAGE}: 2 queued, 0 there, 2 pushed, 4 cleared\n" in said


def test_rebuild__of_more_than_a_batch__rings_for_all(valkey: redis.Redis) -> None:
    with connection.cursor() as cursor:
        queued(1)
        cursor.execute(
            "INSERT INTO jobs_job (id, kind, version, queue, payload, state, attempts, failures,"
            " crashes, losses, backoff_s, timeout_s, next_attempt_at, delivery_no, published_at,"
            " lease_token, lease_owner, request_id, correlation_id)"
            " SELECT gen_random_uuid(), kind, version, queue, payload, state, 0, 0, 0, 0,"
            " backoff_s, timeout_s, now(), 1, now(), 0, '', '', ''"
            " FROM jobs_job, generate_series(1, %s)",
            [2 * BATCH + 5],
        )

    report = rebuild_queue(queue=USAGE)

    assert (report.queued, report.present, report.missing) == (2 * BATCH + 6, 1, 2 * BATCH + 5)
    assert len(set(held(valkey))) == 2 * BATCH + 6


def test_rebuild__of_what_is_not_queued__rings_for_nothing(valkey: redis.Redis) -> None:
    enqueue(Touch(key="later"), delay_s=60)

    assert rebuild_queue(queue=USAGE).queued == 0
    assert held(valkey) == []


def test_rebuild__of_an_unknown_queue__says_which_there_are() -> None:
    with pytest.raises(CommandError, match="no such queue: nope; there are flagship:audit"):
        rebuild("nope")


def test_rebuild__without_redis__says_so(settings: Any) -> None:
    queued(1)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with pytest.raises(CommandError, match="Redis"):
        rebuild()


def sweep() -> None:
    """One pass of a sweeper that has just begun, and remembers nothing."""
    assert Sweeper(lost_after_s=60).run()


def test_sweeper__that_has_just_begun__notices_a_server_started_on_old_data(
    servers: Servers, valkey: redis.Redis, tmp_path: Path
) -> None:
    # P10: machine and scheduler are started together, and Redis remembers last week.
    if servers.valkey is None:
        pytest.skip("the server is not ours to crash")
    sweep()
    first = queued(1)
    data, old = servers.valkey.data, tmp_path / "old"
    shutil.copytree(data, old)
    later = [enqueue(Touch(key=f"later-{n}")) for n in range(3)]
    servers.valkey.crash()
    shutil.rmtree(data / "appendonlydir")
    shutil.copytree(old / "appendonlydir", data / "appendonlydir")
    servers.valkey.start()
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        assert held(client) == [first[0].id.hex]

        sweep()

        assert held(client) == [job.id.hex for job in first + later]


def test_sweeper__whose_redis_is_emptied_while_it_fills_it__fills_it_again(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P10
    queued(2)
    valkey.flushall()
    with monkeypatch.context() as patch:
        patch.setattr(
            refill, "rebuild_queue", lambda **queue: (rebuild_queue(**queue), valkey.flushall())[0]
        )
        sweep()
    assert held(valkey) == []

    sweep()

    assert len(held(valkey)) == 2


def test_sweeper__that_may_not_ask_for_info__still_notices_an_empty_redis(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise NoPermissionError("NOPERM")

    monkeypatch.setattr(redis.Redis, "info", refuse)
    sweep()
    queued(2)
    sweep()
    valkey.flushall()

    sweep()

    assert len(held(valkey)) == 2


def test_rebuild__whose_push_is_not_answered_in_time__asks_and_goes_on(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queued(3)
    valkey.flushall()
    pushed: list[int] = []

    def slow(rings: list[Ring]) -> None:
        pushed.append(len(rings))
        ring(rings[:2])
        if len(pushed) == 1:
            raise redis.exceptions.TimeoutError("Timeout reading from socket")

    monkeypatch.setattr(rebuild_module, "ring", slow)
    monkeypatch.setattr(rebuild_module, "PAUSE_S", 0.0)

    assert rebuild_queue(queue=USAGE).missing == 3
    assert pushed == [3, 1]
    assert held(valkey) == [job.id.hex for job in jobs]
