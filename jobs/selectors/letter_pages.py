"""Dead letters page by page, at a price that does not grow with the table (D-02).

Pages are bounded by places in the order of death, never by counting over rows that were shown
before. Whatever is asked for, one page looks at LOOKED_AT letters at most: each filter has an
index that leads through its letters in that order, and a page walks the one whose letters are
fewest. Fields of the payload and words of the message are met on that walk where they are common,
which a sample tells; where they are rare, their own indexes lead to the letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from jobs.models import FailedJob
from jobs.selectors.letters import ANY, LetterFilter, matching

LOOKED_AT: Final = 20_000
"""So many letters at most are looked at for one page."""
READ: Final = 5_000
"""So many, where their messages have to be taken apart into words."""
COUNTED: Final = 10_000
"""Counts stop here."""
SAMPLED: Final = 2_000
COMMON: Final = 50
"""A search that so many of the SAMPLED newest letters match is a common one."""
RARE: Final = 10_000
"""Letters of a search that is not common are found by its index while there are no more."""
PLACE_CHARACTERS: Final = 36

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEADS: Final = ("fingerprint", "organization_id", "error_class", "kind", "queue", "state")
"""Filters with an index of their own, those that as a rule leave the fewest letters first."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a letter stands in the order of death."""

    died_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.died_at - _EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Read a place back; None for what is not one."""
        microseconds, _, number = text.partition("-")
        is_short = text.isascii() and len(text) <= PLACE_CHARACTERS
        if not (is_short and microseconds.isdecimal() and number.isdecimal()):
            return None
        try:
            at = _EPOCH + timedelta(microseconds=int(microseconds))
            return cls(at, min(int(number), 2**63 - 1))
        except OverflowError:
            return None


OLDEST: Final = Place(_EPOCH, 0)
"""Before every letter: what comes after it is the last page."""


@dataclass(frozen=True, slots=True)
class LetterPage:
    """One page, the newest first, and the places where the next ones begin.

    `older` and `newer` are None where nothing is left to look at. `is_cut` says that the page is
    short, perhaps empty, because enough letters were looked at, not because there are no more.
    """

    letters: list[FailedJob]
    older: Place | None
    newer: Place | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class LetterCount:
    """How many letters match, as far as they were counted."""

    letters: int
    is_exact: bool

    def __str__(self) -> str:
        return f"{self.letters:,}" if self.is_exact else f"{self.letters:,}+"


@dataclass(frozen=True, slots=True)
class Walk:
    """How the letters of a filter are reached, and how many there are.

    `path` are the letters an index leads through, `letters` those among them that are wanted, of
    which a page looks at `looked_at`. They are the same when `is_straight`, and then nothing else
    is looked at, nor a bound needed. `is_search` says that fields or words are met on the way.
    """

    path: QuerySet[FailedJob]
    letters: QuerySet[FailedJob]
    looked_at: int
    count: LetterCount
    is_straight: bool = False
    is_search: bool = False


def walk_to(wanted: LetterFilter) -> Walk:
    """Choose the way to the letters that a filter describes, and count them as far as is told."""
    alone = LetterFilter(state=ANY, died_since=wanted.died_since, died_until=wanted.died_until)
    given = [name for name in _LEADS if getattr(wanted, name)]
    lead = replace(alone, **{name: getattr(wanted, name) for name in given[:1]})
    path, letters = matching(lead), matching(wanted)
    if lead == wanted:
        return straight_to(letters)
    if not (wanted.fields or wanted.text.strip()):
        return Walk(path, letters, LOOKED_AT, _count(path, letters, COUNTED))
    with _kept_on_path():
        count = _count(path, letters, SAMPLED)
    if not count.is_exact and count.letters < COMMON and (ids := _rare_ids(wanted)) is not None:
        # One value, not thousands: as a list each would be bound and planned on its own.
        found = RawSQL("SELECT unnest(%s::bigint[])", [ids])
        return straight_to(letters.filter(pk__in=found))
    looked_at = READ if wanted.text.strip() else LOOKED_AT
    return Walk(path, letters, looked_at, count, is_search=True)


def straight_to(letters: QuerySet[FailedJob]) -> Walk:
    """Return the way to letters that an index leads to, and to nothing else."""
    rows = letters.order_by()[: COUNTED + 1].count()
    count = LetterCount(min(rows, COUNTED), rows <= COUNTED)
    return Walk(letters, letters, 0, count, is_straight=True)


def _count(path: QuerySet[FailedJob], letters: QuerySet[FailedJob], counted: int) -> LetterCount:
    """Count the wanted ones among the newest letters of a path."""
    edge = _edge(path.order_by("-died_at", "-id"), counted)
    if edge is not None:
        letters = letters.filter(_from(edge))
    return LetterCount(letters.order_by().count(), edge is None)


def read_page(
    walk: Walk, *, limit: int, before: Place | None = None, after: Place | None = None
) -> LetterPage:
    """Return the newest letters, those older than `before`, or those next newer than `after`.

    Tracebacks and payloads are not read.
    """
    if after is None:
        rows, further, is_cut = _read(walk, limit, before, upwards=False)
        return LetterPage(rows, further, _way_back(rows[:1], before), is_cut)
    rows, further, is_cut = _read(walk, limit, after, upwards=True)
    older = None if after == OLDEST else _way_back(rows[:1], after)
    return LetterPage(rows[::-1], older, further, is_cut)


def _read(
    walk: Walk, limit: int, start: Place | None, *, upwards: bool
) -> tuple[list[FailedJob], Place | None, bool]:
    """Read on from a place; return the letters, where to go on, and whether the page is cut."""
    order = ("died_at", "id") if upwards else ("-died_at", "-id")
    path, letters = walk.path.order_by(*order), walk.letters.order_by(*order)
    if start is not None:
        past = _above(start) if upwards else _below(start)
        path, letters = path.filter(past), letters.filter(past)
    edge = None if walk.is_straight else _edge(path, walk.looked_at)
    if edge is not None:
        letters = letters.filter(_to(edge) if upwards else _from(edge))
    with _kept_on_path() if walk.is_search else nullcontext():
        rows = list(letters.defer("traceback", "payload", "edited_payload")[: limit + 1])
    if len(rows) > limit:
        return rows[:limit], _place(rows[limit - 1]), False
    return rows, edge, edge is not None


def _way_back(first: list[FailedJob], start: Place | None) -> Place | None:
    """Return from where to go back: the page's first letter, or where an empty page began."""
    if start is None:
        return None
    return _place(first[0]) if first else start


def _rare_ids(wanted: LetterFilter) -> list[int] | None:
    """Find the letters by fields and words; None where there are too many."""
    held = LetterFilter(state=ANY, fields=wanted.fields, text=wanted.text)
    ids = list(matching(held).values_list("pk", flat=True)[: RARE + 1])
    return ids if len(ids) <= RARE else None


@contextmanager
def _kept_on_path() -> Iterator[None]:
    """Let PostgreSQL not leave the path for the index of fields or of words inside the block.

    It knows little of how many letters hold one, and takes that index for the shorter way where it
    has to read all of a common one first. Such indexes are read by bitmap only.
    """
    is_inside = connection.in_atomic_block
    with nullcontext() if is_inside else transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        yield
        if is_inside:
            cursor.execute("SET LOCAL enable_bitmapscan TO DEFAULT")


def _edge(path: QuerySet[FailedJob], looked_at: int) -> Place | None:
    """Return the last place that is looked at; None when all of them are."""
    places = path.values_list("died_at", "id")[looked_at - 1 : looked_at]
    return next((Place(died_at, number) for died_at, number in places), None)


def _place(letter: FailedJob) -> Place:
    return Place(letter.died_at, letter.pk)


# The first half of each is what an index is entered by.


def _below(place: Place) -> Q:
    tie = Q(died_at__lt=place.died_at) | Q(id__lt=place.id)
    return Q(died_at__lte=place.died_at) & tie


def _above(place: Place) -> Q:
    tie = Q(died_at__gt=place.died_at) | Q(id__gt=place.id)
    return Q(died_at__gte=place.died_at) & tie


def _from(place: Place) -> Q:
    tie = Q(died_at__gt=place.died_at) | Q(id__gte=place.id)
    return Q(died_at__gte=place.died_at) & tie


def _to(place: Place) -> Q:
    tie = Q(died_at__lt=place.died_at) | Q(id__lte=place.id)
    return Q(died_at__lte=place.died_at) & tie
