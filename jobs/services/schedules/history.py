"""What became of each planned time: written with the decision, kept for a while."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from django.db import connection

from jobs import telemetry
from jobs.models import Schedule, ScheduleRun
from jobs.models.schedule import PeriodOutcome
from jobs.services.schedules.periods import Period

logger = logging.getLogger(__name__)

ENQUEUED_KEPT_DAYS: Final = 7
OTHERS_KEPT_DAYS: Final = 90
PRUNED_AT_ONCE: Final = 5_000

_PRUNE: Final = """
DELETE FROM jobs_schedulerun WHERE id = ANY(ARRAY(
    SELECT run.id
    FROM jobs_schedulerun AS run, (SELECT clock_timestamp() AS now) AS clock
    WHERE run.planned_at < clock.now - make_interval(days => %(others)s)
        OR (run.outcome = 'enqueued'
            AND run.planned_at < clock.now - make_interval(days => %(enqueued)s))
    ORDER BY run.planned_at LIMIT %(limit)s FOR UPDATE OF run SKIP LOCKED
))
"""


def undecided(name: str, times: Sequence[datetime]) -> list[datetime]:
    """Return the times that no scheduler has decided yet: the clock, or a backup, went back."""
    decided = ScheduleRun.objects.filter(schedule=name, planned_at__in=times)
    known = set(decided.values_list("planned_at", flat=True))
    return [time for time in times if time not in known]


def record_periods(
    schedule: Schedule, periods: Sequence[Period], jobs: Mapping[datetime, uuid.UUID]
) -> None:
    """Write periods down, in the caller's transaction; `jobs` are those of the ones that run."""
    rows = [
        ScheduleRun(
            schedule=schedule.name,
            planned_at=period.planned_at,
            outcome=period.outcome.value,
            note=period.note[:200],
            job_id=jobs.get(period.planned_at),
        )
        for period in periods
    ]
    ScheduleRun.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)
    gone = [period for period in periods if period.outcome is PeriodOutcome.MISSED]
    if gone:
        _tell_missed(schedule, gone)


def _tell_missed(schedule: Schedule, gone: list[Period]) -> None:
    """Say it in the log and in telemetry."""
    first, last = gone[0].planned_at.isoformat(), gone[-1].planned_at.isoformat()
    logger.warning(
        "schedule %s: %d periods missed, %s to %s: %s",
        *(schedule.name, len(gone), first, last, gone[-1].note),
    )
    telemetry.publish(
        "schedule.missed",
        schedule=schedule.name,
        kind=schedule.kind,
        periods=len(gone),
        first=first,
        last=last,
        note=gone[-1].note,
    )


def prune_schedule_runs(*, limit: int = PRUNED_AT_ONCE) -> int:
    """Delete at most `limit` of the rows that are older than they are kept; return how many.

    Kept: 7 days of periods that ran in time, 90 days of all others. Any number may run at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _PRUNE, {"enqueued": ENQUEUED_KEPT_DAYS, "others": OTHERS_KEPT_DAYS, "limit": limit}
        )
        return int(cursor.rowcount)
