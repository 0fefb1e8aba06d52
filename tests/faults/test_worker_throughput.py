"""A hundred at once, on one real worker process."""

from __future__ import annotations

import psutil
from django.db import transaction
from django.db.models import Max, Min

from jobs.models import Job, JobAttempt
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.processes import Processes


def test_hundred_probes__that_sleep_a_second__end_within_three_on_one_worker(
    live_db: None, processes: Processes
) -> None:
    # W-08
    worker = processes.start("rqworker")
    worker.wait_for("Listening on")
    with transaction.atomic():
        for _ in range(100):
            enqueue(Probe(sleep_s=1.0))

    wait_until(lambda: Job.objects.filter(state="succeeded").count() == 100, 30, worker.output)

    memory_mib = psutil.Process(worker.pid).memory_info().rss / 2**20
    span = JobAttempt.objects.aggregate(first=Min("started_at"), last=Max("ended_at"))
    seconds = (span["last"] - span["first"]).total_seconds()
    print(f"100 probes of 1 s took {seconds:.2f} s, worker at {memory_mib:.0f} MiB")
    assert JobAttempt.objects.count() == 100
    assert seconds < 3.0
