"""What a redrive would do, and what has become of what it did (D-03, D-07)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Count, QuerySet

from jobs.errors import InvalidPayload, UnknownKind
from jobs.ids import public_id
from jobs.models import FailedJob, Job, Redrive
from jobs.registry import Handler, get_handler
from jobs.selectors.letters import LetterFilter, from_json, matching
from jobs.states import LetterState, RedriveAction

PREFIX: Final = "redrive"
REHEARSED_MAX: Final = 2_000
"""A dry run looks at the payloads of so many letters, the oldest."""

# The deaths since it began, and of each the letter of the same job that was sent back to work.
_RETURNED: Final = """
SELECT count(*) FROM (
    SELECT FROM jobs_failedjob AS again JOIN jobs_failedjob AS sent
        ON sent.job_id = again.job_id AND sent.fingerprint = again.fingerprint
    WHERE again.died_at > %(since)s AND sent.died_at < again.died_at
        AND sent.state = 'requeued' AND sent.resolved_by = %(actor)s
    LIMIT %(most)s
) AS returned
"""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a filter matches now: how many open letters, and the newest of them."""

    size: int
    died_at: datetime
    id: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a redrive would do, were it begun now.

    Of `matched` letters `waiting` are open, and `looked_at` were looked at, the oldest; the other
    numbers are of those.
    `eligible` would be answered; of these `asked_later` are of kinds that have a say themselves
    when their turn comes. `refused` says why the others would not, and of how many.
    """

    matched: int
    waiting: int
    looked_at: int
    eligible: int
    asked_later: int
    refused: dict[str, int]

    @property
    def is_exact(self) -> bool:
        """Tell whether every letter was looked at."""
        return self.looked_at == self.matched


def freeze(wanted: LetterFilter) -> Frozen | None:
    """Return what a filter matches now; None when that is nothing."""
    letters = matching(open_ones(wanted))
    newest = letters.order_by("-died_at", "-id").values_list("died_at", "id").first()
    if newest is None:
        return None
    return Frozen(up_to(letters, *newest).count(), *newest)


def open_ones(wanted: LetterFilter) -> LetterFilter:
    """Narrow a filter down to what may be answered; one that asks for other states matches none."""
    if wanted.state in ("", LetterState.OPEN):
        return replace(wanted, state=LetterState.OPEN.value)
    return replace(wanted, state="none")


def up_to(letters: QuerySet[FailedJob], died_at: datetime, id: int) -> QuerySet[FailedJob]:
    """Keep the letters up to this one, itself included, in the order of death."""
    return letters.filter(died_at__lte=died_at).exclude(died_at=died_at, id__gt=id)


def next_letters(redrive: Redrive, count: int) -> QuerySet[FailedJob]:
    """Return the letters whose turn it is, oldest first; of each only what an answer needs."""
    letters = matching(open_ones(from_json(redrive.wanted)))
    letters = up_to(letters, redrive.bound_died_at, redrive.bound_id)
    if redrive.at_died_at is not None:
        behind = letters.filter(died_at__gte=redrive.at_died_at)
        letters = behind.exclude(died_at=redrive.at_died_at, id__lte=redrive.at_id)
    fields = ("id", "kind", "job_id", "died_at")
    return letters.only(*fields).order_by("died_at", "id")[:count]


def actor_of(redrive: Redrive) -> str:
    """Return who answers the letters of a redrive: its own public id, which leads to its people."""
    return public_id(PREFIX, redrive.id)


def count_returned(redrive: Redrive) -> int:
    """Count the jobs that were sent back and died of the same cause again.

    Nothing is counted beyond the first that is too many.
    """
    if redrive.action != RedriveAction.REQUEUE or not redrive.done:
        return 0
    asked: dict[str, Any] = {
        "since": redrive.started_at,
        "actor": actor_of(redrive),
        "most": redrive.returns_max + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RETURNED, asked)
        return int(cursor.fetchone()[0])


def have_canaries_ended(redrive: Redrive) -> bool:
    """Tell whether each job that was sent first has come to an end, whichever."""
    canaries = Job.objects.filter(id__in=redrive.canary_jobs)
    return not canaries.filter(finished_at__isnull=True).exists()


def rehearse(*, wanted: LetterFilter, action: RedriveAction) -> Rehearsal:
    """Say what a redrive would do, and why it would not do the rest; nothing is changed.

    A letter that is answered already is left alone; one whose payload does not fit today's schema
    would only die again. Kinds that refuse by a rule of their own do so when its turn comes.
    """
    states = dict(matching(wanted).values_list("state").annotate(letters=Count("id")))
    waiting = int(states.pop(LetterState.OPEN.value, 0))
    refused = Counter({f"already {state}": letters for state, letters in states.items()})
    answered, looked_at, asked_later = refused.total(), waiting, 0
    if action == RedriveAction.REQUEUE:
        looked_at = 0
        for kind, payload in _oldest(wanted):
            problem, has_a_say = _try(kind, payload)
            looked_at += 1
            refused.update([problem] if problem else [])
            asked_later += has_a_say
    return Rehearsal(
        matched=waiting + answered,
        waiting=waiting,
        looked_at=looked_at + answered,
        eligible=looked_at + answered - refused.total(),
        asked_later=asked_later,
        refused=dict(refused.most_common()),
    )


def _oldest(wanted: LetterFilter) -> Iterator[tuple[str, dict[str, Any]]]:
    letters = matching(open_ones(wanted)).order_by("died_at", "id")
    return letters.values_list("kind", "payload")[:REHEARSED_MAX].iterator()


def _try(kind: str, payload: dict[str, Any]) -> tuple[str, bool]:
    """Return why a letter cannot be requeued, if it cannot, and whether its kind has a say."""
    try:
        handler: Handler = get_handler(kind)
        handler.load(payload)
    except (UnknownKind, InvalidPayload) as error:
        return error.message, False
    return "", handler.on_requeue is not None
