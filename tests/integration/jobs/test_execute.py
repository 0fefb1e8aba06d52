"""One run, from the claim to its recorded end."""

from __future__ import annotations

from jobs.models import Job
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from jobs.worker.execute import Executor


def test_job__that_succeeds__has_its_row_its_attempt_and_its_result(executor: Executor) -> None:
    # W-05
    job = enqueue(Probe(note="hello"))

    assert executor.run(job.id) is True

    job = Job.objects.get(id=job.id)
    assert (job.state, job.attempts, job.failures, job.result) == (
        "succeeded",
        1,
        0,
        {"attempt": 1, "note": "hello"},
    )
    attempt = job.attempt_set.get()
    assert (attempt.outcome, attempt.number, attempt.worker) == ("succeeded", 1, "test-worker")
    assert attempt.ended_at == job.finished_at
