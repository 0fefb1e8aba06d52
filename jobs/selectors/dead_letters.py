"""Dead letters as their organization sees them (D-05)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from jobs.errors import DeadLetterNotFound
from jobs.ids import MalformedId, parse_public_id, public_id
from jobs.models import FailedJob
from jobs.states import LetterState

PREFIX: Final = "dead"
SUMMED_UP: Final = 10_000
"""A summary looks at so many open letters at most, the newest."""
GROUPS_SHOWN: Final = 20

_LARGEST: Final = 2**63 - 1

_OPEN: Final = """
WITH looked_at AS MATERIALIZED (
    SELECT queue, kind, error_class, fingerprint, died_at FROM jobs_failedjob
    WHERE organization_id = %(organization_id)s AND state = 'open'
    ORDER BY died_at DESC, id DESC LIMIT %(most)s
)
"""
_QUEUES: Final = f"""{_OPEN}
SELECT queue, count(*), min(died_at) FROM looked_at GROUP BY queue ORDER BY queue
"""  # noqa: S608 (no input in it)
_GROUPS: Final = f"""{_OPEN}
SELECT fingerprint, kind, error_class, count(*), min(died_at), max(died_at) FROM looked_at
GROUP BY fingerprint, kind, error_class ORDER BY count(*) DESC, fingerprint LIMIT %(groups)s
"""  # noqa: S608 (no input in it)


@dataclass(frozen=True, slots=True)
class OpenOfQueue:
    """The open letters of a queue, and when the oldest of them died."""

    queue: str
    open: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class OpenOfCause:
    """The open letters that died of one cause."""

    fingerprint: str
    kind: str
    error_class: str
    open: int
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """An organization's open letters, by queue and by cause, the most frequent causes first.

    Unless `is_exact` the oldest ones were not looked at and the counts are lower bounds.
    """

    open: int
    is_exact: bool
    queues: list[OpenOfQueue]
    groups: list[OpenOfCause]


def letter_id(letter: FailedJob) -> str:
    """Return the id that clients know a letter by."""
    return public_id(PREFIX, uuid.UUID(int=letter.pk))


def get_letter(*, organization_id: uuid.UUID, text: str) -> FailedJob:
    """Return one letter by the id that clients know.

    Raises: DeadLetterNotFound, also for another organization's letter: the two look the same.
    """
    letters = FailedJob.objects.for_organization(organization_id).defer("traceback")
    letter = letters.filter(id=_number(text)).first()
    if letter is None:
        raise DeadLetterNotFound(f"There is no dead letter {text[:50]}.")
    return letter


def older_open(
    *, organization_id: uuid.UUID, than: timedelta, now: datetime
) -> QuerySet[FailedJob]:
    """Return an organization's open letters that died longer ago, the oldest first."""
    letters = FailedJob.objects.for_organization(organization_id)
    old = letters.filter(state=LetterState.OPEN.value, died_at__lt=now - than)
    return old.order_by("died_at", "id")


def sum_up(*, organization_id: uuid.UUID) -> Summary:
    """Return what is open of an organization, at a price that does not grow with it."""
    asked = {"organization_id": organization_id, "most": SUMMED_UP + 1, "groups": GROUPS_SHOWN}
    queues = [OpenOfQueue(*row) for row in _rows(_QUEUES, asked)]
    groups = [OpenOfCause(*row) for row in _rows(_GROUPS, asked)]
    looked_at = sum(queue.open for queue in queues)
    return Summary(min(looked_at, SUMMED_UP), looked_at <= SUMMED_UP, queues, groups)


def _rows(statement: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _number(text: str) -> int:
    """Return the number behind an id; 0, which is no letter's, for what is not one."""
    try:
        number = parse_public_id(PREFIX, text).int
    except MalformedId:
        return 0
    return number if number <= _LARGEST else 0
