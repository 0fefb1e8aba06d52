"""Recurring work, from a table: once per period with any number of schedulers (W-12)."""

from __future__ import annotations

import logging
import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]
from django.db import connection, transaction

from jobs.errors import InvalidPayload, UnknownKind
from jobs.models import Schedule
from jobs.registry import ScheduledJob, get_handler, scheduled
from jobs.services.enqueue import enqueue

logger = logging.getLogger(__name__)


def sync_schedules() -> None:
    """Make the table say what the code declares; safe to run in many processes at once.

    A schedule keeps its `next_run_at` unless its rhythm has changed, and keeps `enabled`, which is
    the operator's. A schedule that is not declared any more is removed.
    """
    declared = scheduled()
    for each in declared:
        with transaction.atomic():
            _sync(each)
    Schedule.objects.exclude(name__in=[each.name for each in declared]).delete()


def run_due_schedules() -> int:
    """Enqueue the jobs of every schedule that is due; return how many.

    Invariant: the job, whose dedupe key names the planned time, and the new `next_run_at` are one
    transaction, so a period runs once whoever dies in between. Periods missed while nobody ran
    are caught up by one run.
    """
    due = Schedule.objects.filter(enabled=True, next_run_at__lte=_now())
    return sum(_run(name) for name in due.order_by("next_run_at").values_list("name", flat=True))


def next_time(schedule: Schedule | ScheduledJob, *, planned: datetime, now: datetime) -> datetime:
    """Return the first time after `now` in the rhythm that `planned` belongs to."""
    if schedule.every_s is not None:
        periods = math.floor((now - planned).total_seconds() / schedule.every_s) + 1
        return planned + timedelta(seconds=max(periods, 1) * schedule.every_s)
    local = max(planned, now).astimezone(ZoneInfo(schedule.timezone))
    following: datetime = croniter(schedule.cron, local).get_next(datetime)
    return following.astimezone(ZoneInfo("UTC"))


def _sync(declared: ScheduledJob) -> None:
    rhythm = {
        "every_s": declared.every_s,
        "cron": declared.cron,
        "timezone": declared.timezone,
    }
    now = _now()
    task = {"kind": declared.payload.KIND, "payload": declared.payload.to_json()}
    row, created = Schedule.objects.select_for_update(no_key=True).get_or_create(
        name=declared.name,
        defaults=rhythm | task | {"next_run_at": next_time(declared, planned=now, now=now)},
    )
    if created:
        return
    if any(getattr(row, field) != value for field, value in rhythm.items()):
        row.next_run_at = next_time(declared, planned=now, now=now)
    for field, value in (rhythm | task).items():
        setattr(row, field, value)
    row.save(update_fields=[*rhythm, *task, "next_run_at"])


def _run(name: str) -> bool:
    with transaction.atomic():
        due = Schedule.objects.select_for_update(no_key=True, skip_locked=True)
        row = due.filter(name=name, enabled=True, next_run_at__lte=_now()).first()
        if row is None:
            return False
        planned = row.next_run_at
        try:
            payload = get_handler(row.kind).load(row.payload)
        except (UnknownKind, InvalidPayload):
            logger.exception("the schedule %s cannot run and is switched off", name)
            Schedule.objects.filter(id=row.id).update(enabled=False)
            return False
        enqueue(payload, dedupe_key=f"cron:{name}:{planned.isoformat()}")
        Schedule.objects.filter(id=row.id).update(
            next_run_at=next_time(row, planned=planned, now=_now()), last_planned_at=planned
        )
    return True


def _now() -> datetime:
    """Read the database's clock, which decides every period."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    now: datetime = row[0]
    return now
