"""Running a redrive: a few letters at a time, each batch with the progress it makes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from django.db import OperationalError, transaction

from jobs.context import JobContext
from jobs.errors import Refusal, Snooze, UnknownKind
from jobs.models import FailedJob, Redrive
from jobs.registry import get_handler
from jobs.selectors.redrives import actor_of, count_returned, have_canaries_ended, next_letters
from jobs.services.dead_letters import discard, requeue
from jobs.services.redrives.decide import end_redrive, hold_redrive
from jobs.services.redrives.pace import Pace, rate_at
from jobs.services.release import CONFLICTS
from jobs.services.schedules.clock import database_now
from jobs.states import RedriveAction, RedriveState
from jobs.trace import Trace, bind_trace

SLICE_S: Final = 20.0
"""How long a run keeps its slot; then it comes back, so that nobody waits for hours for it."""
TICK_S: Final = 0.25
"""What falls due meanwhile is answered together."""
LOOK_S: Final = 1.0
"""How often canaries are looked at, and how soon a batch is tried again that met a lock."""
BATCH_MAX: Final = 50
"""Letters of one transaction: some tenths of a second."""
REASONS_MAX: Final = 20
REASON_CHARACTERS: Final = 200


def run_slice(*, redrive_id: uuid.UUID, context: JobContext) -> None:
    """Answer letters until the redrive is over, for SLICE_S seconds at most.

    Invariant: the letters of a batch, the counters and the cursor are one transaction, under the
    lock of the redrive's row and the fence of its job: each letter is answered once and counted
    once, whatever is killed and whoever else runs it.

    Raises: Snooze when there is more to do; RedriveNotFound.
    """
    until = time.monotonic() + SLICE_S
    while True:
        wait_s = _try_step(redrive_id, context)
        if wait_s is None:
            return
        if time.monotonic() + wait_s > until:
            raise Snooze(wait_s, "the redrive goes on")
        if wait_s:
            context.rest()
            context.stop.wait(max(wait_s, TICK_S))
        context.check()


def _try_step(redrive_id: uuid.UUID, context: JobContext) -> float | None:
    """Take a step; one that met somebody's lock has left nothing behind and is tried again."""
    try:
        return _take_step(redrive_id, context)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) not in CONFLICTS:
            raise
        return LOOK_S


def _take_step(redrive_id: uuid.UUID, context: JobContext) -> float | None:
    """Answer what is due; return the seconds until more is, None when the redrive is over."""
    with transaction.atomic():
        redrive = hold_redrive(redrive_id, "worker")
        with bind_trace(Trace(context.request_id, actor_of(redrive))):
            wait_s = _go_on(redrive, database_now())
        if wait_s is None:
            context.complete({"done": redrive.done, "refused": redrive.refused})
        else:
            context.assert_held()
    return wait_s


def _go_on(redrive: Redrive, now: datetime) -> float | None:
    if redrive.state != RedriveState.RUNNING:
        return None
    redrive.returned = max(redrive.returned, count_returned(redrive))
    if redrive.returned > redrive.returns_max:
        end_redrive(redrive, RedriveState.STOPPED, note="jobs came back with the same cause")
        return None
    if redrive.canary_sent_at is not None and redrive.canary_passed_at is None:
        return _wait_for_canaries(redrive, redrive.canary_sent_at, now)
    return _answer_due(redrive, now)


def _wait_for_canaries(redrive: Redrive, sent_at: datetime, now: datetime) -> float | None:
    """Let the others follow once the first have ended, and not come back."""
    if have_canaries_ended(redrive):
        redrive.canary_passed_at = redrive.due_at = redrive.free_at = now
    elif (now - sent_at).total_seconds() > redrive.canary_wait_s:
        end_redrive(redrive, RedriveState.STOPPED, note="the canaries did not end in time")
        return None
    redrive.save()
    return LOOK_S if redrive.canary_passed_at is None else 0.0


def _answer_due(redrive: Redrive, now: datetime) -> float | None:
    """Answer as many letters as are due by now, and store how far that is."""
    rate, pace = _rate(redrive, now), Pace(redrive.due_at or now, redrive.free_at or now)
    count = pace.allowed(now, rate_per_s=rate, most=_most_at_once(redrive))
    if not count:
        return pace.wait_s(now)
    letters = list(next_letters(redrive, count).select_for_update(no_key=True))
    if not letters:
        end_redrive(redrive, RedriveState.FINISHED)
        return None
    letters = _together(redrive, letters)
    _answer(redrive, letters, now)
    pace = pace.after(len(letters), now, rate_per_s=rate)
    redrive.due_at, redrive.free_at = pace.due_at, pace.free_at
    redrive.save()
    return pace.wait_s(now)


def _rate(redrive: Redrive, now: datetime) -> float:
    """Return the letters a second now; a ramp begins anew behind the canaries."""
    began_at = redrive.canary_passed_at or redrive.started_at or now
    elapsed_s = (now - began_at).total_seconds()
    return rate_at(elapsed_s, rate_per_s=redrive.rate_per_s, ramp_s=redrive.ramp_s)


def _most_at_once(redrive: Redrive) -> int:
    if redrive.canary_size == 0 or redrive.canary_passed_at is not None:
        return BATCH_MAX
    return min(BATCH_MAX, redrive.canary_size - len(redrive.canary_jobs))


def _together(redrive: Redrive, letters: Sequence[FailedJob]) -> list[FailedJob]:
    """Return those, from the first on, that one transaction may answer.

    A kind with an `on_requeue` locks what comes before jobs in the lock order, and so comes alone.
    """
    if redrive.action == RedriveAction.DISCARD:
        return list(letters)
    alone = [place for place, letter in enumerate(letters) if _has_a_say(letter.kind)]
    return list(letters[: max(1, alone[0])] if alone else letters)


def _has_a_say(kind: str) -> bool:
    try:
        return get_handler(kind).on_requeue is not None
    except UnknownKind:
        return False


def _answer(redrive: Redrive, letters: Sequence[FailedJob], now: datetime) -> None:
    """Answer letters, and count what became of them; a refused one is left open."""
    give: Callable[..., object] = partial(requeue, actor=actor_of(redrive))
    if redrive.action == RedriveAction.DISCARD:
        give = partial(discard, actor=actor_of(redrive), reason=redrive.reason)
    for letter in letters:
        try:
            give(failed_job_id=letter.id)
        except Refusal as refusal:
            _count_refusal(redrive, refusal)
        else:
            redrive.done += 1
            if len(redrive.canary_jobs) < redrive.canary_size:
                redrive.canary_jobs.append(letter.job_id)
    redrive.at_died_at, redrive.at_id = letters[-1].died_at, letters[-1].id
    if redrive.canary_size and redrive.canary_sent_at is None:
        redrive.canary_sent_at = now if len(redrive.canary_jobs) == redrive.canary_size else None


def _count_refusal(redrive: Redrive, refusal: Refusal) -> None:
    """Count a letter under why it was refused; rare reasons are counted together."""
    reasons: dict[str, int] = redrive.refusals
    reason = refusal.message[:REASON_CHARACTERS]
    if reason not in reasons and len(reasons) >= REASONS_MAX:
        reason = "other reasons"
    reasons[reason] = reasons.get(reason, 0) + 1
    redrive.refused += 1
