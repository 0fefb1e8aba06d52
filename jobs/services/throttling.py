"""The end of a job that a service keeps throttling (W-16)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from django.conf import settings

from jobs.clients.postgres import run
from jobs.services.claim import Lease
from jobs.services.endings import Ending
from jobs.states import Outcome

_SINCE: Final = """
SELECT first.started_at FROM jobs_job AS job CROSS JOIN LATERAL (
    SELECT attempt.started_at FROM jobs_jobattempt AS attempt
    WHERE attempt.job_id = job.id AND attempt.number > COALESCE((
            SELECT max(other.number) FROM jobs_jobattempt AS other
            WHERE other.job_id = job.id AND other.outcome IN ('failed', 'snoozed')), 0)
        AND attempt.outcome = 'throttled'
        AND attempt.started_at > COALESCE((
            SELECT max(died_at) FROM jobs_failedjob WHERE job_id = job.id), '-infinity')
    ORDER BY attempt.number LIMIT 1
) AS first
WHERE job.id = %(job_id)s
    AND job.created_at < clock_timestamp() - make_interval(secs => %(longest_s)s::float8)
    AND first.started_at < clock_timestamp() - make_interval(secs => %(longest_s)s::float8)
"""


def out_of_patience(*, lease: Lease, ending: Ending) -> Ending:
    """Return the ending of a run; its job's death, if it was throttled for too long.

    That is since more than JOB_THROTTLED_MAX_S, and with nothing else in between than workers that
    went away: a run that failed or snoozed has got through, and a requeue begins anew. No retry is
    spent by it, so the job dies with its whole budget, as a dead letter that an operator may
    requeue once the service lets it through.
    """
    if ending.outcome is not Outcome.THROTTLED or settings.JOB_THROTTLED_MAX_S <= 0:
        return ending
    asked = {"job_id": lease.job_id, "longest_s": settings.JOB_THROTTLED_MAX_S}
    rows = run(_SINCE, asked)
    return _given_up(ending, rows[0][0]) if rows else ending


def _given_up(ending: Ending, since: datetime) -> Ending:
    return replace(
        ending,
        permanent=True,
        error_class="ThrottledTooLong",
        message=f"{ending.message}, as others since {since:%Y-%m-%d %H:%M} UTC",
    )
