"""100 probes that sleep 1 s, on one rqworker: from the first enqueue to the last end.

The ideal is 1 s. Times are the database's: `created_at` of the first job, `ended_at` of the last
attempt. The worker is up before the clock starts. Source: W-08.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from bench._system import bare_system, process

PROBES = 100
ROUNDS = 5
LIMIT_S = 60.0


def main(options: Sequence[str] = ()) -> None:
    """Measure and print."""
    with bare_system(), process("rqworker"), process("rqscheduler"):
        _round(1)  # Imports, connections, caches.
        walls = sorted(_round(PROBES) for _ in range(ROUNDS))
    print(
        f"{PROBES} x 1 s: median {statistics.median(walls):.2f} s"
        f" ({walls[0]:.2f} to {walls[-1]:.2f}, {ROUNDS} rounds)"
    )


def _round(count: int) -> float:
    """Run so many probes; return seconds from the first creation to the last end."""
    from django.db import transaction
    from django.db.models import Max, Min

    from jobs.models import Job, JobAttempt
    from jobs.payloads import Probe
    from jobs.services.enqueue import enqueue

    with transaction.atomic():
        ids = [enqueue(Probe(sleep_s=1.0)).id for _ in range(count)]
    until = time.monotonic() + LIMIT_S
    while Job.objects.filter(id__in=ids, state="succeeded").count() < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count} probes did not end within {LIMIT_S:g} s")
        time.sleep(0.05)
    first = Job.objects.filter(id__in=ids).aggregate(at=Min("created_at"))["at"]
    last = JobAttempt.objects.filter(job_id__in=ids).aggregate(at=Max("ended_at"))["at"]
    return float((last - first).total_seconds())
