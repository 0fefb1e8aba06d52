"""Asking for a redrive: what, why, how fast, and who else has to agree."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from jobs import signals
from jobs.clients.postgres import constraint_of
from jobs.errors import NothingMatches, ReasonRequired, RedriveRunning
from jobs.ids import public_id
from jobs.models import Redrive
from jobs.payloads import RunRedrive
from jobs.selectors.letters import LetterFilter, to_json
from jobs.selectors.redrives import PREFIX, Frozen, freeze
from jobs.services.enqueue import enqueue
from jobs.services.schedules.clock import database_now
from jobs.states import RedriveAction, RedriveState

RATE_MAX_PER_S: Final = 200.0
RATE_MIN_PER_S: Final = 0.1
RAMP_MAX_S: Final = 3600.0
CANARIES_MAX: Final = 100
CANARY_WAIT_MAX_S: Final = 24 * 3600.0
RETURNS_MAX: Final = 1_000_000

_ONE_RUNNING: Final = "redrive_one_running_per_queue"
_THE_SAME: Final = "jobs_redrive_pkey"


@dataclass(frozen=True, slots=True)
class RedriveOrder:
    """What is to be done to each letter, and how carefully.

    `rate_per_s` letters a second, reached in a straight line over `ramp_s` seconds. The first
    `canary_size` go alone: the others follow when the jobs of these have ended, for which they
    have `canary_wait_s` seconds. More than `returns_max` jobs that die of the same cause again
    stop it. A discard sends no job back, so that it has neither canaries nor returns.

    Raises: ValueError for a number out of its range.
    """

    action: RedriveAction
    reason: str
    rate_per_s: float = 10.0
    ramp_s: float = 0.0
    canary_size: int = 0
    canary_wait_s: float = 60.0
    returns_max: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "rate_per_s": (RATE_MIN_PER_S, RATE_MAX_PER_S),
            "ramp_s": (0.0, RAMP_MAX_S),
            "canary_size": (0, CANARIES_MAX),
            "canary_wait_s": (1.0, CANARY_WAIT_MAX_S),
            "returns_max": (0, RETURNS_MAX),
        }
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is a number from {least:g} to {most:g}")


def start_redrive(
    *, redrive_id: uuid.UUID, wanted: LetterFilter, order: RedriveOrder, actor: str
) -> Redrive:
    """Answer every open letter that a filter matches now; those that die later are left alone.

    `redrive_id` is the caller's, made before: however often the same wish is sent, there is one
    redrive. It runs at once, as a job; one of more letters than REDRIVE_APPROVAL_SIZE waits for
    another person's approval. One at a time runs over a queue.

    Raises: ReasonRequired, NothingMatches, RedriveRunning; ValueError without an actor. Nothing
    has changed then. Source: D-03, D-07.
    """
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    if not order.reason.strip():
        raise ReasonRequired
    try:
        with transaction.atomic():
            existing = Redrive.objects.filter(id=redrive_id).first()
            return existing or _start(redrive_id, wanted, order, actor)
    except IntegrityError as error:
        if constraint_of(error) != _THE_SAME:
            raise
        # Sent twice at the same time: the other is there now.
        return Redrive.objects.get(id=redrive_id)


def _start(redrive_id: uuid.UUID, wanted: LetterFilter, order: RedriveOrder, actor: str) -> Redrive:
    frozen = freeze(wanted)
    if frozen is None:
        raise NothingMatches
    redrive = _describe(redrive_id, wanted, order, frozen, actor)
    verb = "proposed" if redrive.is_approval_needed else "started"
    if not redrive.is_approval_needed:
        set_running(redrive)
    store(redrive)
    signals.redrive_moved.send(sender=Redrive, redrive=redrive, verb=verb, actor=actor)
    return redrive


def set_running(redrive: Redrive) -> None:
    """Give a redrive its job, in the caller's transaction; it is not stored here."""
    now = database_now()
    job = enqueue(RunRedrive(redrive_id=redrive.id.hex), dedupe_key=f"redrive:{redrive.id.hex}")
    redrive.state = RedriveState.RUNNING.value
    redrive.job_id = job.id
    redrive.started_at = redrive.due_at = redrive.free_at = now


def store(redrive: Redrive) -> None:
    """Store a redrive in the caller's transaction. Raises: RedriveRunning; it must roll back."""
    try:
        with transaction.atomic():
            redrive.save(force_insert=redrive._state.adding)
    except IntegrityError as error:
        if constraint_of(error) != _ONE_RUNNING:
            raise
        raise _running(redrive) from None


def _describe(
    redrive_id: uuid.UUID, wanted: LetterFilter, order: RedriveOrder, frozen: Frozen, actor: str
) -> Redrive:
    is_requeue = order.action == RedriveAction.REQUEUE
    return Redrive(
        id=redrive_id,
        state=RedriveState.PROPOSED.value,
        action=order.action.value,
        wanted=to_json(wanted),
        queue=wanted.queue,
        bound_died_at=frozen.died_at,
        bound_id=frozen.id,
        size=frozen.size,
        rate_per_s=order.rate_per_s,
        ramp_s=order.ramp_s,
        canary_size=order.canary_size if is_requeue else 0,
        canary_wait_s=order.canary_wait_s,
        returns_max=order.returns_max if is_requeue else 0,
        reason=order.reason.strip(),
        requested_by=actor,
        is_approval_needed=frozen.size > settings.REDRIVE_APPROVAL_SIZE,
    )


def _running(redrive: Redrive) -> RedriveRunning:
    """Say which one; it may have ended meanwhile."""
    running = Redrive.objects.filter(queue=redrive.queue, state=RedriveState.RUNNING.value).first()
    where = redrive.queue or "all queues"
    told = {"redriveId": public_id(PREFIX, running.id)} if running else {}
    return RedriveRunning(f"Another redrive runs over {where}.", data=told)
