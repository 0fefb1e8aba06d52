"""The operator's two answers to a dead letter."""

from __future__ import annotations

import json
from typing import Any, Final

from django.db import transaction

from jobs import signals
from jobs.errors import DeadLetterNotFound, DeadLetterNotOpen, ReasonRequired
from jobs.models import FailedJob, Job
from jobs.registry import Handler, get_handler
from jobs.services.publisher import publish_on_commit
from jobs.states import LetterState

_RESOLVE: Final = """
UPDATE jobs_failedjob SET state = %(state)s, resolved_at = clock_timestamp(),
    resolved_by = %(actor)s, reason = %(reason)s, edited_payload = %(edited)s::jsonb
WHERE id = %(id)s AND state = 'open'
RETURNING *
"""
_REVIVE: Final = """
UPDATE jobs_job SET state = 'pending', failures = 0, crashes = 0, losses = 0, finished_at = NULL,
    next_attempt_at = clock_timestamp(),
    payload = COALESCE(%(edited)s::jsonb, payload), version = COALESCE(%(version)s, version)
WHERE id = %(job_id)s AND state = 'dead'
RETURNING *
"""


def requeue(*, failed_job_id: int, actor: str, payload: dict[str, Any] | None = None) -> Job:
    """Send a dead job back to work with a fresh retry budget; its history is kept.

    Invariant: of any number of callers exactly one requeues a letter, the others are refused. The
    payload must fit today's class, so that a letter is not requeued into a second death; then
    `on_requeue` of the kind runs in the same transaction and may refuse too. With a `payload` the
    job runs with that instead, and the letter keeps both: the one it died with, and this.

    Raises: DeadLetterNotFound, DeadLetterNotOpen, InvalidPayload, UnknownKind, and whatever
    `on_requeue` refuses with; nothing has changed then. Source: D-03, D-07, P13.
    """
    with transaction.atomic():
        letter = _resolve(failed_job_id, LetterState.REQUEUED, actor, edited=payload)
        handler: Handler = get_handler(letter.kind)
        loaded = handler.load(letter.payload if payload is None else payload)
        if handler.on_requeue is not None:
            handler.on_requeue(loaded, letter.job_id)
        version = None if payload is None else loaded.VERSION
        revived = {"job_id": letter.job_id, "edited": _as_json(payload), "version": version}
        jobs = list(Job.objects.raw(_REVIVE, revived))
        if not jobs:
            raise DeadLetterNotOpen(data={"state": "not dead"})
        signals.requeued.send(sender=FailedJob, failed_job=letter, actor=actor)
        publish_on_commit(job_id=letter.job_id)
    return jobs[0]


def discard(*, failed_job_id: int, actor: str, reason: str) -> FailedJob:
    """Give a dead letter up, for a reason that is kept with it; the job stays dead.

    Raises: ReasonRequired, DeadLetterNotFound, DeadLetterNotOpen; nothing has changed then.
    Source: D-04.
    """
    if not reason.strip():
        raise ReasonRequired
    with transaction.atomic():
        letter = _resolve(failed_job_id, LetterState.DISCARDED, actor, reason=reason.strip())
        signals.discarded.send(sender=FailedJob, failed_job=letter, actor=actor, reason=reason)
    return letter


def _resolve(
    failed_job_id: int,
    state: LetterState,
    actor: str,
    *,
    reason: str = "",
    edited: dict[str, Any] | None = None,
) -> FailedJob:
    """Close an open letter; the row stays locked until the caller's transaction ends."""
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    decision = {"id": failed_job_id, "state": str(state), "actor": actor, "reason": reason}
    letters = list(FailedJob.objects.raw(_RESOLVE, decision | {"edited": _as_json(edited)}))
    if letters:
        return letters[0]
    existing = FailedJob.objects.filter(id=failed_job_id).first()
    if existing is None:
        raise DeadLetterNotFound(f"There is no dead letter {failed_job_id}.")
    raise DeadLetterNotOpen(
        f"The dead letter has already been {existing.state} by {existing.resolved_by}.",
        data={"state": existing.state},
    )


def _as_json(payload: dict[str, Any] | None) -> str | None:
    return None if payload is None else json.dumps(payload)
