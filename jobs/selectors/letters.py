"""Dead letters as an operator asks for them: one description for lists, counts and redrives.

What a filter says here is what everything that takes one acts on, so that what is seen is what is
answered (D-02, D-03).
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import Q, QuerySet

from jobs.models import FailedJob
from jobs.states import LetterState

ANY: Final = ""
"""As a state: whatever has been answered."""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters; an empty field asks for all.

    Times are aware, `died_since` is the first that counts and `died_until` the first that does
    not. `fields` are top-level fields of the payload and what they equal, all of them; `text` is
    words of the message, all of them, in any order.
    """

    state: str = LetterState.OPEN.value
    queue: str = ""
    kind: str = ""
    organization_id: uuid.UUID | None = None
    error_class: str = ""
    fingerprint: str = ""
    died_since: datetime | None = None
    died_until: datetime | None = None
    fields: tuple[tuple[str, str], ...] = ()
    text: str = ""


def matching(wanted: LetterFilter) -> QuerySet[FailedJob]:
    """Return the dead letters that a filter describes, in no order of their own."""
    letters = FailedJob.objects.order_by()
    if wanted.organization_id is not None:
        letters = FailedJob.objects.for_organization(wanted.organization_id).order_by()
    columns = ("state", "queue", "kind", "error_class", "fingerprint")
    given = {name: getattr(wanted, name) for name in columns}
    letters = letters.filter(**{name: value for name, value in given.items() if value})
    if wanted.died_since is not None:
        letters = letters.filter(died_at__gte=wanted.died_since)
    if wanted.died_until is not None:
        letters = letters.filter(died_at__lt=wanted.died_until)
    for name, value in wanted.fields:
        letters = letters.filter(_holds(name, value))
    if wanted.text.strip():
        words = SearchQuery(_storable(wanted.text), config="simple")
        letters = letters.alias(words=SearchVector("message", config="simple")).filter(words=words)
    return letters


def to_json(wanted: LetterFilter) -> dict[str, Any]:
    """Return a filter as it is stored: what it narrows by, and the state in any case."""
    stored: dict[str, Any] = {"state": wanted.state}
    for name, value in asdict(wanted).items():
        if isinstance(value, datetime):
            stored[name] = value.isoformat()
        elif isinstance(value, uuid.UUID):
            stored[name] = str(value)
        elif isinstance(value, tuple) and value:
            stored[name] = [list(pair) for pair in value]
        elif value:
            stored[name] = value
    return stored


def from_json(stored: dict[str, Any]) -> LetterFilter:
    """Read a stored filter back. Raises: ValueError for what is none that this code can read."""
    unknown = stored.keys() - {field.name for field in fields(LetterFilter)}
    if unknown:
        raise ValueError(f"a filter of dead letters has no {', '.join(sorted(unknown))}")
    given = dict(stored)
    pairs = [text for pair in given.get("fields", ()) for text in pair]
    texts = [value for name, value in given.items() if name != "fields"]
    if not all(isinstance(text, str) and "\x00" not in text for text in (*texts, *pairs)):
        raise ValueError("a filter of dead letters holds texts")
    for name in ("died_since", "died_until"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    if "organization_id" in given:
        given["organization_id"] = uuid.UUID(given["organization_id"])
    if "fields" in given:
        given["fields"] = tuple((name, value) for name, value in given["fields"])
    return LetterFilter(**given)


def _holds(name: str, value: str) -> Q:
    """Match a payload whose field is this text, or the number, boolean or null it spells."""
    name, value = _storable(name), _storable(value)
    found = Q(payload__contains={name: value})
    try:
        spelt = json.loads(value)
    except ValueError:
        return found
    is_finite = not isinstance(spelt, float) or math.isfinite(spelt)
    if isinstance(spelt, bool | int | float | None) and is_finite:
        found |= Q(payload__contains={name: spelt})
    return found


def _storable(text: str) -> str:
    """Leave out what no text in PostgreSQL holds, so that it is looked for in vain, not refused."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()
