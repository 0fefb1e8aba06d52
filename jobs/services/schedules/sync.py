"""Making the table of schedules say what the code declares."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from django.db import transaction

from jobs.models import Schedule
from jobs.payloads import Payload
from jobs.registry import ScheduledJob, scheduled
from jobs.services.schedules.clock import database_now

logger = logging.getLogger(__name__)

ABANDONED_AFTER: Final = timedelta(days=1)


def sync_schedules() -> None:
    """Make the table say what the code declares; safe to run in many processes at once.

    A schedule keeps `enabled`, which is the operator's, and `next_run_at`, unless its rhythm has
    changed; a time that is due already is kept even then, so that a deployment skips no period.
    One that is not declared any more is not run and, when nobody else has run it for a day
    either, removed: during a deployment processes of two versions may be at work.
    """
    declared = scheduled()
    for each in declared:
        with transaction.atomic():
            _sync(each)
    undeclared = Schedule.objects.exclude(name__in=[each.name for each in declared])
    abandoned = undeclared.filter(enabled=True, next_run_at__lt=database_now() - ABANDONED_AFTER)
    for name in list(abandoned.values_list("name", flat=True)):
        logger.info("the schedule %s is declared nowhere any more and is removed", name)
        abandoned.filter(name=name).delete()


def _sync(declared: ScheduledJob) -> None:
    columns = _columns(declared)
    # Mostly there is nothing to do, and so nothing to wait for: another scheduler may hold the row.
    if _says(Schedule.objects.filter(name=declared.name).first(), columns):
        return
    now = database_now()
    first = declared.rhythm.following(after=now, anchor=now)
    row, created = Schedule.objects.select_for_update(no_key=True).get_or_create(
        name=declared.name, defaults=columns | {"next_run_at": first}
    )
    if created or _says(row, columns):
        return
    before = (row.every_s, row.cron, row.timezone)
    if row.next_run_at > now and before != (declared.every_s, declared.cron, declared.timezone):
        row.next_run_at = first
    for field, value in columns.items():
        setattr(row, field, value)
    row.save(update_fields=[*columns, "next_run_at"])


def _says(row: Schedule | None, columns: dict[str, Any]) -> bool:
    """Tell whether a row says what is declared."""
    return row is not None and all(getattr(row, name) == value for name, value in columns.items())


def _columns(declared: ScheduledJob) -> dict[str, Any]:
    """Return what the row says of a declaration."""
    payload = declared.payload
    return {
        "kind": declared.kind,
        "payload": payload.to_json() if isinstance(payload, Payload) else {},
        "every_s": declared.every_s,
        "cron": declared.cron,
        "timezone": declared.timezone,
        "catch_up": declared.catch_up.value,
        "grace_s": declared.grace_s,
    }
