"""Inserting the jobs of the schedules that are due."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, transaction

from jobs.models import Schedule
from jobs.models.schedule import PeriodOutcome
from jobs.registry import ScheduledJob, get_schedule, scheduled
from jobs.rhythm import CatchUp
from jobs.services.enqueue import enqueue
from jobs.services.schedules.clock import database_now
from jobs.services.schedules.history import record_periods, undecided
from jobs.services.schedules.periods import Period, decide, due_times

logger = logging.getLogger(__name__)


def run_due_schedules() -> int:
    """Enqueue the jobs of every schedule that is due; return how many.

    Invariant: the jobs, whose dedupe keys name the planned times, what became of each period, and
    the new `next_run_at` are one transaction, so a period runs once whoever dies in between, with
    any number of schedulers and wherever the clock jumps. Periods that were missed while nobody
    ran are treated as the schedule's catch-up policy says. Schedules that this code does not
    declare are left to processes that do.
    """
    names = [each.name for each in scheduled()]
    due = Schedule.objects.filter(enabled=True, next_run_at__lte=database_now(), name__in=names)
    total = 0
    for name in list(due.order_by("next_run_at").values_list("name", flat=True)):
        try:
            total += _run(name)
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            # One schedule that cannot be run must not keep the others from running.
            logger.exception("the schedule %s cannot be run", name)
    return total


def _run(name: str) -> int:
    declared = get_schedule(name)
    with transaction.atomic():
        free = Schedule.objects.select_for_update(no_key=True, skip_locked=True)
        row = free.filter(name=name, enabled=True).first()
        now = database_now()
        if row is None or row.next_run_at > now or declared is None:
            return 0
        first, rhythm = row.next_run_at, row.rhythm
        times = due_times(rhythm, first=first, now=now)
        periods = decide(
            undecided(name, times),
            now=now,
            catch_up=CatchUp(row.catch_up),
            grace=timedelta(seconds=row.grace_s),
        )
        if times[0] > first:
            note = f"with all before {times[0].isoformat()}"
            periods.insert(0, Period(first, PeriodOutcome.MISSED, note))
        return _settle(row, declared, periods, following=rhythm.following(after=now, anchor=first))


def _settle(
    row: Schedule, declared: ScheduledJob, periods: list[Period], *, following: datetime
) -> int:
    """Insert the jobs, write the periods down and move the schedule on."""
    jobs: dict[datetime, uuid.UUID] = {}
    for number, period in enumerate(periods):
        if period.outcome is not PeriodOutcome.MISSED:
            try:
                jobs[period.planned_at] = _enqueue(declared, period.planned_at)
            except (DatabaseError, InterfaceError):
                raise
            except Exception as error:
                logger.exception("schedule %s: no job for %s", row.name, period.planned_at)
                note = f"no job: {type(error).__name__}: {error}"
                periods[number] = Period(period.planned_at, PeriodOutcome.MISSED, note)
    record_periods(row, periods, jobs)
    row.last_planned_at = max(jobs, default=row.last_planned_at)
    row.next_run_at = following
    row.save(update_fields=["last_planned_at", "next_run_at"])
    return len(jobs)


def _enqueue(declared: ScheduledJob, planned_at: datetime) -> uuid.UUID:
    """Insert the job of a planned time."""
    key = f"cron:{declared.name}:{planned_at.isoformat()}"
    return enqueue(declared.payload_for(planned_at), dedupe_key=key).id
