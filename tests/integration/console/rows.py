"""Rows and people for the console's tests."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

from jobs.models import FailedJob, Job, JobAttempt
from jobs.queues import MAINTENANCE

PASSWORD = "a long enough pass phrase"
TRACEBACK = """Traceback (most recent call last):
  File "/srv/flagship/builds/handlers.py", line 41, in run_build
    publish(artifact, site)
  File "/srv/flagship/builds/clients/storage.py", line 88, in publish
    os.replace(staging, target)
OSError: [Errno 28] No space left on device: <staging>
"""


def make_letter(*, runs: int = 3, died_ago: timedelta = timedelta(0), **fields: Any) -> FailedJob:
    """Make a job that failed `runs` times and the dead letter it left."""
    died_at = datetime.now(UTC) - died_ago
    shared = {
        "kind": "jobs.probe",
        "queue": MAINTENANCE,
        "organization_id": None,
        "payload": {"action": "fail", "note": "no space"},
        "request_id": f"req_{uuid.uuid4().hex}",
        "correlation_id": "nightly-42",
    }
    letter = {
        "error_class": "builtins.OSError",
        "message": "[Errno 28] No space left on device: <staging>",
        "traceback": TRACEBACK,
        "fingerprint": uuid.uuid4().hex,
    }
    shared |= {name: value for name, value in fields.items() if name in shared}
    letter |= {name: value for name, value in fields.items() if name not in shared}
    job = _dead_job(runs, died_at, shared)
    return FailedJob.objects.create(job=job, attempts=runs, died_at=died_at, **shared, **letter)


def _dead_job(runs: int, died_at: datetime, shared: dict[str, Any]) -> Job:
    """Make the job, with one attempt 10 s before the next."""
    first = died_at - timedelta(seconds=10 * runs)
    job = Job.objects.create(
        state="dead",
        attempts=runs,
        failures=runs,
        backoff_s=[float(10)] * (runs - 1),
        timeout_s=60.0,
        lease_token=runs,
        started_at=first,
        finished_at=died_at,
        **shared,
    )
    for number in range(1, runs + 1):
        started_at = first + timedelta(seconds=10 * (number - 1))
        ended_at = started_at + timedelta(milliseconds=1250)
        JobAttempt.objects.create(
            job=job,
            number=number,
            token=number,
            worker="web-1:4711",
            outcome="failed",
            started_at=started_at,
            ended_at=ended_at,
            retry_at=ended_at + timedelta(seconds=10) if number < runs else None,
            error_class="builtins.OSError",
            message="[Errno 28] No space left on device: <staging>",
            traceback=TRACEBACK,
        )
    return job


def make_operator(*permissions: str, name: str = "ana") -> User:
    """Make a staff user who holds exactly these permissions (`jobs.view_failedjob`)."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def browser_of(user: User, **options: Any) -> Client:
    """Return a logged-in client."""
    client = Client(**options)
    client.force_login(user)
    return client
