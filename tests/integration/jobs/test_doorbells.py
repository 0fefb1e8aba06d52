"""What Redis can and cannot make us do (rq.md section 7, W-04)."""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib import admin
from django.db import transaction
from django.urls import NoReverseMatch, reverse
from django_rq.models import Dashboard
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import DefaultSerializer, resolve_serializer
from rq.suspension import resume, suspend

from jobs.clients.doorbells import DISPATCHER, MARKER, NUDGE_MS, Ring, nudge, ring
from jobs.models import Job
from jobs.queues import MAINTENANCE, USAGE
from jobs.services import publisher, rescue
from jobs.services.enqueue import enqueue, enqueue_many
from jobs.services.publisher import publish_due
from jobs.services.rescue import ring_again_if_lost
from jobs.services.sweep import Sweeper
from jobs.worker.bells import Alarm, Bells
from jobs.worker.doorbell import Doorbell, RefusedDoorbell
from jobs.worker.execute import execute
from tests.drills.payloads import Touch, TouchElsewhere

QUEUE = f"rq:queue:{MAINTENANCE}"


class Bomb:
    """A pickle that leaves a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def plant(valkey: redis.Redis, data: bytes, **fields: Any) -> Doorbell:
    """Put a job into Redis as an attacker would."""
    planted: Any = {"origin": MAINTENANCE, "status": "queued", "data": data} | fields
    valkey.hset("rq:job:planted", mapping=planted)
    return Doorbell.fetch("planted", connection=valkey)  # type: ignore[return-value]


def call(name: str, *args: Any, instance: Any = None, **kwargs: Any) -> bytes:
    """The data of a job that calls this."""
    return zlib.compress(json.dumps([name, instance, args, kwargs]).encode())


@pytest.mark.parametrize("where", ["data", "meta", "result"])
@pytest.mark.parametrize("job_class", [Doorbell, RqJob])
def test_pickle__planted_in_redis__is_inert(
    valkey: redis.Redis, tmp_path: Path, where: str, job_class: type[RqJob]
) -> None:
    bomb = pickle.dumps((Bomb(tmp_path / "boom"), None, (), {}))
    plant(valkey, call(DISPATCHER, "0" * 32))
    valkey.hset("rq:job:planted", where, zlib.compress(bomb) if where == "data" else bomb)

    job = job_class.fetch("planted", connection=valkey)
    with pytest.raises((RefusedDoorbell, ValueError, RuntimeError)):
        job.perform()

    assert not (tmp_path / "boom").exists()
    assert resolve_serializer(None) is DefaultSerializer
    assert DefaultSerializer.dumps({"a": 1}) == b'{"a": 1}'


@pytest.mark.parametrize(
    "data",
    [
        call("os.system", "true"),
        call("builtins.eval", "1"),
        call("jobs.services.cancel.cancel_job", "0" * 32),
        call(DISPATCHER, "0" * 32, "more"),
        call(DISPATCHER, {"not": "text"}),
        call(DISPATCHER, "0" * 32, more=1),
        call("upper", instance="a string"),
        b"garbage",
    ],
)
def test_function__other_than_the_dispatcher__is_refused(valkey: redis.Redis, data: bytes) -> None:
    doorbell = plant(valkey, data)

    with pytest.raises(RefusedDoorbell):
        doorbell.perform()


def test_callbacks_and_webhooks__planted_in_redis__are_ignored(valkey: redis.Redis) -> None:
    hooks = json.dumps([{"url": "http://127.0.0.1:1/x", "statuses": ["finished"]}])
    for job in (
        plant(
            valkey,
            call(DISPATCHER, "0" * 32),
            success_callback_name="os.getcwd",
            failure_callback_name="os.getcwd",
            stopped_callback_name="os.getcwd",
            webhooks=hooks,
        ),
        RqJob.fetch("planted", connection=valkey),
    ):
        assert job.success_callback is None
        assert job.failure_callback is None
        assert job.stopped_callback is None
        job.send_webhooks(JobStatus.FINISHED)  # nothing is sent, nothing fails


def test_dispatcher__called_outside_a_worker__refuses() -> None:
    with pytest.raises(RuntimeError, match="rqworker"):
        execute("0" * 32)


def bells_of(valkey: redis.Redis, *names: str) -> Bells:
    """The doorbells of these queues, for a worker."""
    return Bells(names, valkey, "test-worker")


def no_limit(queue: str) -> int:
    """Room for more than there is."""
    return 100


@pytest.mark.parametrize(
    "rq_id", ["no-such-job", "bad:id", "planted", "\udc80", f"{'0' * 32}-1s", f"{'0' * 32}-1t"]
)
def test_queue__with_unreadable_ids__is_popped_without_harm(
    valkey: redis.Redis, rq_id: str
) -> None:
    valkey.hset("rq:job:planted", mapping={"status": "nonsense", "data": b"x"})
    valkey.rpush(QUEUE, rq_id.encode("utf-8", "surrogateescape"))
    bells = bells_of(valkey, MAINTENANCE)

    assert bells.take(no_limit, [], 100) == []
    assert valkey.llen(QUEUE) == 0


def test_doorbell__of_each_letter__is_a_job_of_rq_until_it_is_taken(valkey: redis.Redis) -> None:
    # The stepwise ones stay readable while they run, so that RQ's tools can stop them.
    rings = [Ring(uuid.uuid4(), MAINTENANCE, 1, 30.0, letter) for letter in "stbi"]
    ring(rings)
    before = [RqJob.fetch(each.rq_id, connection=valkey) for each in rings]
    assert {job.get_status() for job in before} == {JobStatus.QUEUED}

    taken = bells_of(valkey, MAINTENANCE).take(no_limit, [], 100)

    assert [job.func_name for job in before] == [DISPATCHER] * 4
    assert [job.args for job in before] == [[each.job_id.hex] for each in rings]
    assert [(bell.job_id, bell.letter) for bell in taken] == [
        (each.job_id, each.letter) for each in rings
    ]
    left = [RqJob.fetch(each.rq_id, connection=valkey) for each in (rings[0], rings[3])]
    assert [(job.get_status(), job.worker_name) for job in left] == [("started", "test-worker")] * 2
    assert not any(RqJob.exists(each.rq_id, connection=valkey) for each in rings[1:3])


def test_bells__with_little_room__are_taken_so_far_and_queue_by_queue(valkey: redis.Redis) -> None:
    for name in (MAINTENANCE, USAGE):
        ring([Ring(uuid.uuid4(), name, 1, 30.0) for _ in range(3)])
    bells = bells_of(valkey, MAINTENANCE, USAGE)

    taken = [bells.take(lambda name: 2, [], 2) for _ in range(4)]

    assert [[bell.queue for bell in each] for each in taken] == [
        [MAINTENANCE] * 2,
        [USAGE] * 2,
        [MAINTENANCE],
        [USAGE],
    ]


def test_bells__given_back__are_the_next_ones_in_their_order(valkey: redis.Redis) -> None:
    rings = [Ring(uuid.uuid4(), MAINTENANCE, 1, 30.0, "t") for _ in range(5)]
    ring(rings)
    bells = bells_of(valkey, MAINTENANCE)

    bells.give_back(bells.take(no_limit, [], 3))

    taken = bells.take(no_limit, [], 100)
    assert [bell.rq_id for bell in taken] == [each.rq_id for each in rings]


def test_bells__of_suspended_workers__are_left(valkey: redis.Redis) -> None:
    ring([Ring(uuid.uuid4(), MAINTENANCE, 1, 30.0)])
    bells = bells_of(valkey, MAINTENANCE)
    suspend(valkey)

    assert bells.take(no_limit, [], 100) == []
    assert bells.suspended
    resume(valkey)
    assert len(bells.take(no_limit, [], 100)) == 1


def test_bell__waited_for__is_shown_as_started_by_the_next_call(valkey: redis.Redis) -> None:
    new = Ring(uuid.uuid4(), MAINTENANCE, 1, 30.0)
    ring([new])
    bells = bells_of(valkey, MAINTENANCE)

    bell = bells.wait([MAINTENANCE], 1.0)
    bells.take(no_limit, [], 100)
    status = RqJob.fetch(new.rq_id, connection=valkey).get_status()
    bells.take(no_limit, [new.rq_id], 100)

    assert bell is not None and bell.rq_id == new.rq_id
    assert status == JobStatus.STARTED
    assert not RqJob.exists(new.rq_id, connection=valkey)


def test_wait__for_doorbells__ends_when_a_full_worker_has_room_again(valkey: redis.Redis) -> None:
    # W-07: in milliseconds, not at the end of the wait; once, and only when it was asked for.
    bells, alarm = bells_of(valkey, MAINTENANCE), Alarm("test-worker")
    alarm.go_off()
    assert not valkey.exists("flagship:jobs:nudge:test-worker")
    alarm.set(on=True)
    freeing = threading.Timer(0.2, alarm.go_off)
    freeing.start()
    began = time.monotonic()

    assert bells.wait([MAINTENANCE], 20.0) is None
    assert time.monotonic() - began < 10

    freeing.join()
    alarm.go_off()
    assert not valkey.exists("flagship:jobs:nudge:test-worker")
    nudge("gone")
    assert 0 < valkey.pttl("flagship:jobs:nudge:gone") <= NUDGE_MS


def test_django_rq_console__of_a_running_system__is_closed() -> None:
    assert Dashboard not in admin.site._registry
    for name in ("rq_home", "admin:django_rq_dashboard_changelist", "admin:django_rq_rq_home"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


def queued(count: int) -> list[Job]:
    """Jobs whose doorbells are in Redis."""
    jobs = [enqueue(Touch(key=str(n))) for n in range(count)]
    assert Job.objects.filter(state="queued").count() == count
    return jobs


def test_wiped_redis__with_queued_jobs__is_noticed_and_rung_again(
    live_db: None, valkey: redis.Redis
) -> None:
    # P10
    sweeper = Sweeper(lost_after_s=60)
    sweeper.run()
    queued(20)
    sweeper.run()
    valkey.flushall()

    sweeper.run()
    sweeper.run()

    assert valkey.llen("rq:queue:flagship:usage") == 20
    assert set(Job.objects.values_list("state", "delivery_no", "losses")) == {("queued", 1, 0)}


def test_redis__restored_from_an_old_dump__is_noticed_and_rung_again(
    live_db: None, valkey: redis.Redis
) -> None:
    # P10
    sweeper = Sweeper(lost_after_s=60)
    sweeper.run()
    old = valkey.get(MARKER)
    sweeper.run()
    queued(3)
    valkey.flushall()
    valkey.set(MARKER, old or b"")

    sweeper.run()

    assert valkey.llen("rq:queue:flagship:usage") == 3


def test_doorbell__lost_alone__is_rung_again_and_the_others_are_not(
    live_db: None, valkey: redis.Redis
) -> None:
    # P10
    jobs = queued(5)
    valkey.lpop("rq:queue:flagship:usage")

    assert ring_again_if_lost(older_than_s=60.0, missed_before={}) == {}
    missed = ring_again_if_lost(older_than_s=0.0, missed_before={})
    assert missed == {jobs[0].id: 1}
    assert Job.objects.get(id=jobs[0].id).losses == 0  # it may have been taken a moment ago
    assert ring_again_if_lost(older_than_s=0.0, missed_before=missed) == {}

    numbers = dict(Job.objects.values_list("id", "delivery_no"))
    assert [numbers[job.id] for job in jobs] == [2, 1, 1, 1, 1]
    assert Job.objects.get(id=jobs[0].id).losses == 1


def test_doorbell__behind_more_than_are_looked_at__is_not_taken_for_lost(
    live_db: None, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "WINDOW", 3)
    jobs = queued(6)
    valkey.lrem("rq:queue:flagship:usage", 1, f"{jobs[1].id.hex}-1s")
    valkey.lrem("rq:queue:flagship:usage", 1, f"{jobs[4].id.hex}-1s")

    # The fifth stands behind the window: only its turn will tell.
    assert set(ring_again_if_lost(older_than_s=0.0, missed_before={})) == {jobs[1].id}


def test_redis__away_at_the_commit__leaves_the_job_to_the_sweeper(
    live_db: None, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-09
    def refuse(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as away:
        away.setattr(publisher, "ring", refuse)
        job = enqueue(Touch(key="x"))
        job.refresh_from_db()
        assert (job.state, job.published_at) == ("pending", None)

    assert publish_due() == 1
    job.refresh_from_db()
    assert (job.state, job.delivery_no) == ("queued", 2)
    assert valkey.lrange("rq:queue:flagship:usage", 0, -1) == [f"{job.id.hex}-2s".encode()]


def test_doorbells__of_one_transaction__are_pushed_together_and_only_those_that_committed(
    live_db: None, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[Ring]] = []

    def count(rings: list[Ring]) -> None:
        calls.append(list(rings))

    monkeypatch.setattr(publisher, "ring", count)
    with transaction.atomic():
        kept = [enqueue(Touch(key="a")).id, enqueue(Touch(key="b")).id]
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            enqueue(Touch(key="c"))
            raise ZeroDivisionError
        with transaction.atomic():
            kept.append(enqueue(Touch(key="d")).id)
        kept += enqueue_many([Touch(key="e"), TouchElsewhere(key="f")])

    assert sorted(each.job_id for call in calls for each in call) == sorted(kept)
    assert len(calls) == 2  # one for the transaction, one for the savepoint that was kept
    assert Job.objects.count() == 5
