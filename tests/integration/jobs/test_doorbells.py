"""What Redis can and cannot make us do (rq.md section 7, W-04)."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from django_rq.models import Dashboard
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import DefaultSerializer, resolve_serializer

from jobs.clients.doorbells import DISPATCHER
from jobs.models import Job
from jobs.queues import MAINTENANCE
from jobs.services.enqueue import enqueue
from jobs.services.publisher import publish_due
from jobs.services.rescue import ring_again_after_wipe, ring_again_if_lost
from jobs.services.sweep import Sweeper
from jobs.worker.bells import Bells
from jobs.worker.doorbell import Doorbell, RefusedDoorbell
from jobs.worker.execute import execute
from tests.drills.payloads import Touch

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


@pytest.mark.parametrize("rq_id", ["no-such-job", "bad:id", "planted", "\udc80"])
def test_queue__with_unreadable_ids__is_popped_without_harm(
    valkey: redis.Redis, rq_id: str
) -> None:
    from rq.queue import Queue

    valkey.hset("rq:job:planted", mapping={"status": "nonsense", "data": b"x"})
    valkey.rpush(QUEUE, rq_id.encode("utf-8", "surrogateescape"))
    bells = Bells([Queue(MAINTENANCE, connection=valkey)], valkey)

    assert bells.pop(wait=False) is None
    assert valkey.llen(QUEUE) == 0


def test_bells__of_two_queues__are_taken_in_turn(valkey: redis.Redis) -> None:
    from rq.queue import Queue

    queues = [Queue(name, connection=valkey) for name in ("a", "b")]
    for queue in queues:
        for number in range(3):
            valkey.hset(
                f"rq:job:{queue.name}{number}",
                mapping={"data": call(DISPATCHER, "0" * 32), "origin": queue.name},
            )
            valkey.rpush(queue.key, f"{queue.name}{number}")
    bells = Bells(queues, valkey)

    taken = [bells.pop(wait=False) for _ in range(6)]

    assert [bell.id for bell in taken if bell] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_django_rq_console__of_a_running_system__is_closed() -> None:
    assert Dashboard not in admin.site._registry
    for name in ("rq_home", "admin:django_rq_dashboard_changelist", "admin:django_rq_rq_home"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


def queued(count: int) -> list[Job]:
    """Jobs whose doorbells are in Redis."""
    jobs = [enqueue(Touch(key=str(n))) for n in range(count)]
    publish_due()
    assert Job.objects.filter(state="queued").count() == count
    return jobs


def test_wiped_redis__with_queued_jobs__is_noticed_and_rung_again(
    live_db: None, valkey: redis.Redis
) -> None:
    # P10
    Sweeper(lost_after_s=60).run()
    queued(20)
    assert ring_again_after_wipe() == 0
    valkey.flushall()

    Sweeper(lost_after_s=60).run()

    assert valkey.llen("rq:queue:flagship:usage") == 20
    assert set(Job.objects.values_list("state", "delivery_no")) == {("queued", 2)}


def test_doorbell__lost_alone__is_rung_again_and_the_others_are_not(
    live_db: None, valkey: redis.Redis
) -> None:
    # P10
    jobs = queued(5)
    valkey.lpop("rq:queue:flagship:usage")

    assert ring_again_if_lost(older_than_s=60.0) == 0
    assert ring_again_if_lost(older_than_s=0.0) == 1
    publish_due()

    numbers = dict(Job.objects.values_list("id", "delivery_no"))
    assert [numbers[job.id] for job in jobs] == [2, 1, 1, 1, 1]
