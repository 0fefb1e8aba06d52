"""What an operator says of a failure group, and the upkeep of its counts (D-07)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now
from django.dispatch import Signal

from jobs import signals
from jobs.clients.postgres import run
from jobs.errors import FailureGroupAcknowledged, FailureGroupNotAcknowledged, FailureGroupNotFound
from jobs.models import FailureGroup
from jobs.selectors.failure_groups import count_deaths
from jobs.services.schedules.clock import database_now

FOLDED_AT_ONCE: Final = 10_000
HOURS_KEPT: Final = timedelta(days=90)
NOTE_CHARS: Final = 2_000


def acknowledge_group(*, fingerprint: str, actor: str, note: str = "") -> FailureGroup:
    """Say that somebody knows of a cause: what dies of it from now on is counted apart.

    A note replaces the one that is there; none leaves it. Letters of a group that nobody
    acknowledged are never cleaned up.

    Raises: FailureGroupNotFound, FailureGroupAcknowledged; nothing has changed then.
    """
    with transaction.atomic():
        group = _locked(fingerprint, actor)
        if group.acknowledged_at is not None:
            raise FailureGroupAcknowledged(
                f"The group was acknowledged by {group.acknowledged_by}.",
                data={
                    "acknowledgedAt": group.acknowledged_at.isoformat(),
                    "acknowledgedBy": group.acknowledged_by,
                },
            )
        said = {"note": _tidy(note)} if note.strip() else {}
        return _write(
            group,
            signals.group_acknowledged,
            actor,
            acknowledged_at=Now(),
            acknowledged_by=actor,
            acknowledged_deaths=count_deaths(fingerprint=fingerprint),
            **said,
        )


def withdraw_acknowledgement(*, fingerprint: str, actor: str) -> FailureGroup:
    """Take an acknowledgement back; the note stays.

    Raises: FailureGroupNotFound, FailureGroupNotAcknowledged; nothing has changed then.
    """
    with transaction.atomic():
        group = _locked(fingerprint, actor)
        if group.acknowledged_at is None:
            raise FailureGroupNotAcknowledged
        return _write(
            group,
            signals.group_withdrawn,
            actor,
            acknowledged_at=None,
            acknowledged_by="",
            acknowledged_deaths=None,
        )


def write_note(*, fingerprint: str, actor: str, note: str) -> FailureGroup:
    """Replace the note of a group; an empty one removes it. Raises: FailureGroupNotFound."""
    with transaction.atomic():
        group = _locked(fingerprint, actor)
        return _write(group, signals.group_noted, actor, note=_tidy(note))


def fold_deaths(*, most: int = FOLDED_AT_ONCE) -> int:
    """Add what statements noted to the counts of their groups; return how many notes were taken.

    One transaction, beside deaths and beside itself: of two at once one does nothing.
    """
    return int(run("SELECT jobs_fold_deaths(%s)", [most])[0][0])


def forget_hours() -> int:
    """Delete the hours of trends that are no longer drawn; return how many."""
    return int(run("SELECT jobs_forget_hours(%s)", [database_now() - HOURS_KEPT])[0][0])


def _locked(fingerprint: str, actor: str) -> FailureGroup:
    """Read a group under a lock that deaths do not take, until the caller's transaction ends."""
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    groups = FailureGroup.objects.select_for_update(no_key=True)
    group = groups.filter(fingerprint=fingerprint).first()
    if group is None:
        raise FailureGroupNotFound(f"There is no failure group {fingerprint}.")
    return group


def _write(group: FailureGroup, signal: Signal, actor: str, **columns: Any) -> FailureGroup:
    """Change a locked group and tell of it in the same transaction."""
    by = group.acknowledged_by
    FailureGroup.objects.filter(pk=group.pk).update(**columns)
    group.refresh_from_db()
    signal.send(sender=FailureGroup, group=group, actor=actor, by=by)
    return group


def _tidy(note: str) -> str:
    return note.strip()[:NOTE_CHARS]
