"""Dead letters by the thousand, made by the database."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.db.models.functions import Now

from jobs.models import FailedJob
from jobs.queues import MAINTENANCE

_JOBS: Final = """
INSERT INTO jobs_job (id, kind, version, queue, payload, state, attempts, failures, crashes,
    losses, backoff_s, timeout_s, delivery_no, lease_token, lease_owner, request_id,
    correlation_id, organization_id, created_at, started_at, finished_at)
SELECT uuidv7(), %(kind)s, 1, %(queue)s, '{}', 'dead', 1, 1, 0, 0, '{}', 60, 1, 1, '', '', '',
    %(organization_id)s, now(), now(), now()
FROM generate_series(1, %(count)s) RETURNING id
"""
_LETTERS: Final = """
INSERT INTO jobs_failedjob (job_id, kind, queue, organization_id, state, error_class, message,
    traceback, fingerprint, attempts, payload, request_id, correlation_id, died_at, resolved_at,
    resolved_by, reason)
SELECT job_id, %(kind)s, %(queue)s, %(organization_id)s, %(state)s, %(error_class)s, %(message)s,
    '', %(fingerprint)s, 1, %(payload)s::jsonb, '', '',
    now() - make_interval(secs => %(days)s::float8 * 86400 + number * %(apart_s)s::float8),
    CASE WHEN %(state)s <> 'open' THEN now() END,
    CASE WHEN %(state)s <> 'open' THEN 'user:x' ELSE '' END,
    CASE WHEN %(state)s <> 'open' THEN 'known' ELSE '' END
FROM unnest(%(jobs)s::uuid[]) WITH ORDINALITY AS made (job_id, number)
RETURNING id
"""


def make_letters(count: int = 1, **columns: Any) -> list[int]:
    """Make letters, the first the newest, `apart_s` seconds apart, from `days` ago on back."""
    given: dict[str, Any] = {
        "count": count,
        "kind": "jobs.probe",
        "queue": MAINTENANCE,
        "organization_id": None,
        "state": "open",
        "error_class": "OSError",
        "message": "no space left",
        "fingerprint": "v2-" + "a" * 40,
        "payload": "{}",
        "days": 0.0,
        "apart_s": 1.0,
    }
    with connection.cursor() as cursor:
        cursor.execute(_JOBS, given | columns)
        jobs = [job_id for (job_id,) in cursor.fetchall()]
        cursor.execute(_LETTERS, given | columns | {"jobs": jobs})
        return [number for (number,) in cursor.fetchall()]


def answer_letters(ids: list[int], state: str = "discarded") -> None:
    """Answer letters, all in one statement."""
    letters = FailedJob.objects.filter(pk__in=ids)
    letters.update(state=state, resolved_at=Now(), resolved_by="user:x", reason="known")
