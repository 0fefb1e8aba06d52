"""What an operator does to a schedule: run it now, pause it, resume it."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from jobs import signals
from jobs.errors import ScheduleNotFound
from jobs.models import Job, Schedule, ScheduleRun
from jobs.models.schedule import PeriodOutcome
from jobs.registry import get_schedule
from jobs.services.enqueue import enqueue
from jobs.services.schedules.clock import database_now
from jobs.services.schedules.history import record_periods, undecided
from jobs.services.schedules.periods import due_times, missed


def run_schedule_now(*, name: str, actor: str, click_id: str) -> Job:
    """Insert a job of a schedule at once, paused or not; its rhythm stays as it is.

    `click_id` (1 to 64 characters) names the wish: however often the same one is sent, there is
    one job and one audit event. The planned time that the payload may be made of is now.

    Raises: ScheduleNotFound; ValueError without an actor or a usable click id.
    """
    if not actor or not 0 < len(click_id) <= 64:
        raise ValueError("a run by hand needs an actor and a click id of 1 to 64 characters")
    key = f"cron:{name}:now:{click_id}"
    with transaction.atomic():
        _lock(name)
        existing = Job.objects.filter(dedupe_key=key).first()
        if existing is not None:
            return existing
        declared = get_schedule(name)
        if declared is None:
            raise ScheduleNotFound(f"This system declares no schedule {name!r}.")
        now = database_now()
        job = enqueue(declared.payload_for(now), dedupe_key=key)
        _record_by_hand(name, actor, now, job)
        signals.schedule_run_now.send(sender=Schedule, name=name, actor=actor, job_id=job.id)
    return job


def pause_schedule(*, name: str, actor: str, reason: str = "") -> Schedule:
    """Run a schedule no more until it is resumed, over restarts too; one that is paused stays so.

    Raises: ScheduleNotFound; ValueError without an actor.
    """
    with transaction.atomic():
        row = _lock(name, actor)
        if row.enabled:
            row.enabled = False
            row.save(update_fields=["enabled"])
            signals.schedule_paused.send(sender=Schedule, name=name, actor=actor, reason=reason)
    return row


def resume_schedule(*, name: str, actor: str) -> Schedule:
    """Run a schedule again from its next time on; what passed meanwhile is recorded as missed.

    Nothing is caught up, whatever the policy: the pause was somebody's wish.

    Raises: ScheduleNotFound; ValueError without an actor.
    """
    with transaction.atomic():
        row = _lock(name, actor)
        if not row.enabled:
            now, first = database_now(), row.next_run_at
            if first <= now:
                times = undecided(name, due_times(row.rhythm, first=first, now=now))
                record_periods(row, missed(times, "it was paused"), {})
                row.next_run_at = row.rhythm.following(after=now, anchor=first)
            row.enabled = True
            row.save(update_fields=["enabled", "next_run_at"])
            signals.schedule_resumed.send(sender=Schedule, name=name, actor=actor)
    return row


def _lock(name: str, actor: str = "system") -> Schedule:
    """Lock a schedule's row until the caller's transaction ends."""
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    row = Schedule.objects.select_for_update(no_key=True).filter(name=name).first()
    if row is None:
        raise ScheduleNotFound(f"There is no schedule {name!r}.")
    return row


def _record_by_hand(name: str, actor: str, planned_at: datetime, job: Job) -> None:
    ScheduleRun.objects.create(
        schedule=name,
        planned_at=planned_at,
        outcome=PeriodOutcome.BY_HAND.value,
        job_id=job.id,
        note=f"asked for by {actor}"[:200],
    )
