"""Holding a queue, and letting it go (W-17)."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from jobs import signals
from jobs.clients.wall import outside
from jobs.errors import QueueAlreadyPaused, QueueNotFound, QueueNotPaused, ReasonRequired
from jobs.models import QueuePause
from jobs.queues import QUEUES
from jobs.selectors.pauses import pauses

FOR_MAX_S: Final = 30 * 24 * 3600
"""A pause that ends by itself lasts at most this long."""

_PAUSE: Final = """
INSERT INTO jobs_queuepause AS pause (queue, paused_at, paused_by, reason, resume_at)
SELECT %(queue)s, clock.now, %(actor)s, %(reason)s,
    clock.now + make_interval(secs => %(for_s)s::float8)
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (queue) DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by,
    reason = excluded.reason, resume_at = excluded.resume_at
WHERE pause.resume_at <= clock_timestamp()
RETURNING *
"""
_RESUME: Final = """
DELETE FROM jobs_queuepause
WHERE queue = %(queue)s AND (resume_at IS NULL OR resume_at > clock_timestamp())
RETURNING *
"""


def pause_queue(*, queue: str, actor: str, reason: str, for_s: float | None = None) -> QueuePause:
    """Stop starting jobs of a queue, until it is resumed or `for_s` seconds have passed.

    Every worker hears of it within about a second. Jobs that run go on to their end; new ones are
    accepted and wait, and may be cancelled. The first pause stands: of any number of callers one
    gets through.

    Units: `for_s` in seconds of the database's clock, more than 0 and up to 30 days.
    Raises: QueueNotFound, ReasonRequired, QueueAlreadyPaused, and ValueError for another `for_s`
    or no actor; nothing has changed then.
    """
    _known(queue)
    if not actor or (for_s is not None and not 0 < for_s <= FOR_MAX_S):
        raise ValueError("a pause has an actor, and lasts up to 30 days or until it is ended")
    if not reason.strip():
        raise ReasonRequired
    asked = {"queue": queue, "actor": actor, "reason": reason.strip(), "for_s": for_s}
    # Nothing in it is refused, so that it needs no savepoint in the transaction of a request.
    with transaction.atomic(savepoint=False), outside():
        made = list(QueuePause.objects.raw(_PAUSE, asked))
        if made:
            signals.queue_paused.send(sender=QueuePause, pause=made[0], actor=actor)
    if not made:
        raise _already_paused(queue)
    return made[0]


def resume_queue(*, queue: str, actor: str) -> QueuePause:
    """End the pause of a queue and return it; its jobs start again within about a second.

    Raises: QueueNotFound, QueueNotPaused (also when the pause has ended by itself), and
    ValueError for no actor; nothing has changed then.
    """
    _known(queue)
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    with transaction.atomic(savepoint=False), outside():
        ended = list(QueuePause.objects.raw(_RESUME, {"queue": queue}))
        if ended:
            signals.queue_resumed.send(sender=QueuePause, pause=ended[0], actor=actor)
    if not ended:
        raise QueueNotPaused(f"{queue} is not paused.", data={"queue": queue})
    return ended[0]


def _known(queue: str) -> None:
    if queue not in QUEUES:
        raise QueueNotFound(f"There is no queue {queue[:100]!r}.", data={"queues": list(QUEUES)})


def _already_paused(queue: str) -> QueueAlreadyPaused:
    """Say by which pause; it may have ended meanwhile."""
    told: dict[str, Any] = {"queue": queue}
    standing = pauses().get(queue)
    if standing is not None:
        told |= {
            "pausedAt": standing.paused_at,
            "pausedBy": standing.paused_by,
            "reason": standing.reason,
            "resumeAt": standing.resume_at,
        }
    return QueueAlreadyPaused(f"{queue} is paused already.", data=told)
