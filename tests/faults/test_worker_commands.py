"""RQ's own commands, as its tools send them to a real worker."""

from __future__ import annotations

import pytest
import redis
from rq.command import send_shutdown_command, send_stop_job_command
from rq.suspension import resume, suspend
from rq.worker import Worker

from jobs.clients.doorbells import Ring, ring
from jobs.models import Job
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.payloads import Touch
from tests.drills.shapes import MarkApart
from tests.processes import Processes

pytestmark = pytest.mark.usefixtures("live_db")


def state_of(job: Job) -> str:
    """Where a job stands now."""
    job.refresh_from_db()
    return job.state


def test_stop_job__sent_by_rq__cancels_the_job_that_runs_and_no_other(
    processes: Processes, valkey: redis.Redis
) -> None:
    # W-15
    worker = processes.start("rqworker")
    worker.wait_for("Listening on")
    stopped, other = enqueue(Probe(sleep_s=60.0)), enqueue(Touch(key="other", sleep_s=1.0))
    wait_until(lambda: {state_of(stopped), state_of(other)} == {"running"}, 20, worker.output)
    rq_id = f"{stopped.id.hex}-1s"
    # RQ's record of who runs it comes with the worker's next look at Redis.
    wait_until(lambda: valkey.hget(f"rq:job:{rq_id}", "worker_name") is not None, 20)

    send_stop_job_command(valkey, rq_id)

    wait_until(lambda: state_of(stopped) == "cancelled", 20, worker.output)
    wait_until(lambda: state_of(other) == "succeeded", 20, worker.output)
    assert stopped.attempt_set.get().outcome == "cancelled"
    assert worker.popen.poll() is None


def test_shutdown__sent_through_redis__is_not_obeyed(
    processes: Processes, valkey: redis.Redis
) -> None:
    # Whoever can write to Redis must not be able to stop the fleet.
    worker = processes.start("rqworker")
    worker.wait_for("Listening on")
    (seen,) = Worker.all(connection=valkey)

    send_shutdown_command(valkey, seen.name)
    job = enqueue(Touch(key="after"))

    wait_until(lambda: state_of(job) == "succeeded", 20, worker.output)
    assert worker.popen.poll() is None


def test_workers__suspended_and_resumed__take_nothing_in_between(
    processes: Processes, valkey: redis.Redis
) -> None:
    worker = processes.start("rqworker")
    worker.wait_for("Listening on")
    suspend(valkey)
    first = enqueue(Touch(key="first"))  # may still be taken: the worker is already waiting
    wait_until(lambda: state_of(first) in ("queued", "succeeded"), 5)
    enqueue(Touch(key="nudge"))
    held = [enqueue(Touch(key=f"held-{n}")) for n in range(5)]
    wait_until(lambda: valkey.llen("rq:queue:flagship:usage") >= 5, 10, worker.output)
    assert {state_of(job) for job in held} == {"queued"}

    resume(valkey)

    wait_until(lambda: Effect.objects.count() == 7, 20, worker.output)
    assert {state_of(job) for job in held} == {"succeeded"}


def test_doorbell__of_a_kind_that_has_become_isolated__runs_apart_all_the_same(
    processes: Processes, valkey: redis.Redis
) -> None:
    # W-06: rung for before the deployment that made it so.
    job = enqueue(MarkApart(key="apart"))
    valkey.flushall()
    ring([Ring(job.id, job.queue, 1, job.timeout_s, "s")])
    scheduler = processes.start("rqscheduler")
    worker = processes.start("rqworker")

    wait_until(lambda: state_of(job) == "succeeded", 30, worker.output)

    first, second = job.attempt_set.all()
    assert (first.outcome, second.outcome) == ("handed_back", "succeeded")
    assert second.worker.startswith(f"{first.worker}/")
    assert (job.failures, job.crashes, Effect.objects.count()) == (0, 0, 1)
    assert scheduler.popen.poll() is None
