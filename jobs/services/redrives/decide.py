"""What people decide about a redrive that was asked for: to let it begin, or to end it."""

from __future__ import annotations

import uuid

from django.db import transaction

from jobs import signals
from jobs.context import Death
from jobs.errors import ApprovalByAnother, RedriveNotFound, RedriveNotProposed, RedriveOver
from jobs.ids import public_id
from jobs.models import Redrive
from jobs.payloads import RunRedrive
from jobs.selectors.redrives import PREFIX
from jobs.services.redrives.ask import set_running, store
from jobs.services.schedules.clock import database_now
from jobs.states import RedriveState


def approve_redrive(*, redrive_id: uuid.UUID, actor: str) -> Redrive:
    """Let a proposed redrive begin; it needs another person than the one who asked for it.

    Raises: RedriveNotFound, RedriveNotProposed, ApprovalByAnother, RedriveRunning; ValueError
    without an actor. Nothing has changed then.
    """
    with transaction.atomic():
        redrive = hold_redrive(redrive_id, actor)
        if redrive.state != RedriveState.PROPOSED:
            raise RedriveNotProposed(data={"state": redrive.state})
        if redrive.requested_by == actor:
            raise ApprovalByAnother
        redrive.approved_by = actor
        set_running(redrive)
        store(redrive)
        signals.redrive_moved.send(sender=Redrive, redrive=redrive, verb="approved", actor=actor)
    return redrive


def abort_redrive(*, redrive_id: uuid.UUID, actor: str, reason: str = "") -> Redrive:
    """End a redrive, running or proposed; no further letter is answered once this has returned.

    What has been answered stays so. Raises: RedriveNotFound, RedriveOver; ValueError without an
    actor. Nothing has changed then.
    """
    with transaction.atomic():
        redrive = hold_redrive(redrive_id, actor)
        if redrive.state not in (RedriveState.PROPOSED, RedriveState.RUNNING):
            raise RedriveOver(f"The redrive is {redrive.state}.", data={"state": redrive.state})
        end_redrive(redrive, RedriveState.ABORTED, note=reason.strip(), actor=actor)
    return redrive


def stop_dead_redrive(*, owed: RunRedrive, death: Death) -> None:
    """Stop a redrive whose job has died, in the transaction that buries it."""
    redrive = hold_redrive(uuid.UUID(owed.redrive_id), "worker")
    if redrive.state == RedriveState.RUNNING:
        note = f"its job died: {death.error_class}: {death.message}"
        end_redrive(redrive, RedriveState.STOPPED, note=note)


def hold_redrive(redrive_id: uuid.UUID, actor: str) -> Redrive:
    """Lock a redrive until the caller's transaction ends; before any other row, by the lock order.

    Raises: RedriveNotFound; ValueError without an actor.
    """
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    redrive = Redrive.objects.select_for_update(no_key=True).filter(id=redrive_id).first()
    if redrive is None:
        raise RedriveNotFound(f"There is no redrive {public_id(PREFIX, redrive_id)}.")
    return redrive


def end_redrive(redrive: Redrive, state: RedriveState, *, note: str = "", actor: str = "") -> None:
    """Bring a held redrive to an end, and tell of it."""
    redrive.state = state.value
    redrive.ended_at = database_now()
    redrive.ended_by = actor
    redrive.note = note[:500]
    redrive.save()
    verb = state.value
    signals.redrive_moved.send(sender=Redrive, redrive=redrive, verb=verb, actor=actor)
