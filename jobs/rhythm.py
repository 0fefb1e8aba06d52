"""When recurring work is due: cron expressions and plain periods, in any time zone (pure).

A cron expression is read on the wall clock of its zone, and each result is checked against that
clock, because the days of a clock change have hours that do not exist or come twice:

- An expression that names its hours runs once for each time it names. A time that the clock skips
  is due at the first moment after the gap; of a time that comes twice the first one counts.
- An expression for every hour (`*`, or all 24) runs in each real hour: in both halves of a
  repeated one, and not in one that does not exist.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
# 29 February on a given weekday comes again after 40 years at the latest.
DAYS_TO_SEARCH: Final = 366 * 40
EVERY_S: Final = (0.001, 10 * 366 * 86_400.0)
MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CatchUp(StrEnum):
    """What becomes of the periods that were missed while nobody ran them."""

    ONE = "one"
    ALL = "all"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Exactly one of `every_s` (seconds between runs) and `cron` (five fields); the zone is cron's.

    Raises: ValueError when made, for anything that would not run, an impossible date included.
    """

    every_s: float | None = None
    cron: str = ""
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if (self.every_s is None) == (not self.cron):
            raise ValueError("give either every_s or cron")
        if self.every_s is not None and not EVERY_S[0] <= self.every_s <= EVERY_S[1]:
            raise ValueError("give either every_s or cron, and every_s of a millisecond or more")
        _zone(self.timezone)
        if self.cron:
            next(parse(self.cron).walls(datetime(2000, 1, 1)))

    def times(self, *, after: datetime, anchor: datetime) -> Iterator[datetime]:
        """Yield, in UTC and in order, every time after `after`, without end.

        `anchor` is a time of the rhythm; plain periods count from it, cron does not need it.
        """
        after = after.astimezone(UTC)
        if self.every_s is not None:
            return _plain_times(self.every_s, after, anchor.astimezone(UTC))
        cron, zone = parse(self.cron), _zone(self.timezone)
        times = _every_real_hour if cron.every_hour else _named_hours
        return times(cron, zone, after)

    def following(self, *, after: datetime, anchor: datetime) -> datetime:
        """Return the first time after `after`, in UTC."""
        return next(self.times(after=after, anchor=anchor))


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. `minutes` are minutes of the day, sorted; weekdays count from Sunday."""

    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    every_hour: bool

    def walls(self, after: datetime) -> Iterator[datetime]:
        """Yield the wall times after a wall time, without end.

        Raises: ValueError when the expression names no day that exists.
        """
        first = after.replace(second=0, microsecond=0) + MINUTE
        day, start = first.date(), first.hour * 60 + first.minute
        searched = 0
        while True:
            if self.matches(day):
                searched = 0
                for minute in self.minutes[bisect_left(self.minutes, start) :]:
                    yield datetime(day.year, day.month, day.day, *divmod(minute, 60))
            searched += 1
            if searched > DAYS_TO_SEARCH:
                raise ValueError("there is no such day")
            day, start = day + DAY, 0

    def matches(self, day: date) -> bool:
        """Say whether a day is one of the expression's."""
        if day.month not in self.months:
            return False
        by_date = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday


@lru_cache(maxsize=256)
def parse(text: str) -> Cron:
    """Read `minute hour day month weekday`: `*`, numbers, names, ranges, lists, steps.

    As in cron, a day matches when it fits both day fields, or, where neither of the two begins
    with `*`, when it fits either.

    Raises: ValueError, naming the field.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"{text!r} has {len(fields)} fields, a cron expression has 5")
    minutes = _field("minute", fields[0], 0, 59)
    hours = _field("hour", fields[1], 0, 23)
    return Cron(
        minutes=tuple(sorted(hour * 60 + minute for hour, minute in product(hours, minutes))),
        days=_field("day", fields[2], 1, 31),
        months=_field("month", fields[3], 1, 12, MONTHS),
        weekdays=frozenset(day % 7 for day in _field("weekday", fields[4], 0, 7, WEEKDAYS)),
        either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        every_hour=len(hours) == 24,
    )


def _field(
    name: str, text: str, low: int, high: int, names: tuple[str, ...] = ()
) -> frozenset[int]:
    """Read one field: a list of `*`, `a` and `a-b`; all but the plain number may have a `/step`."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(name, first, low, high, names)
            end = _number(name, last, low, high, names) if dash else start
        if start > end or (slash and span != "*" and not dash):
            raise ValueError(f"{name}: {part!r} is not a range")
        found.update(range(start, end + 1, _number(name, step, 1, high, ()) if slash else 1))
    return frozenset(found)


def _number(name: str, text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    """Read a number, or a name where the field has names."""
    number = -1
    if text in names:
        number = names.index(text) + low
    elif text.isascii() and text.isdecimal():
        number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{name}: {text!r} is not between {low} and {high}")
    return number


def _plain_times(every_s: float, after: datetime, anchor: datetime) -> Iterator[datetime]:
    """Yield `anchor` plus whole periods; each from the anchor, so that no rounding adds up."""
    period = int((after - anchor).total_seconds() // every_s)
    while True:
        time = anchor + timedelta(seconds=period * every_s)
        if time > after:
            yield time
        period += 1


def _named_hours(cron: Cron, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Yield each named time once: when the clock first shows it, or the end of its gap."""
    last = after
    # Both keep the order of the wall times: none before that of `after` comes later than it.
    for wall in cron.walls(after.astimezone(zone).replace(tzinfo=None)):
        time = _first_moment(wall, zone)
        if time > last:
            yield time
            last = time


def _every_real_hour(cron: Cron, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Yield each real moment whose wall time matches, a day in UTC at a time."""
    start = after
    while True:
        end = start + DAY
        found: set[datetime] = set()
        upcoming: list[datetime] = []
        # With the clock as it is at both ends of the day: what did not read so is left out.
        for offset in {_offset(start, zone), _offset(end, zone)}:
            for wall in cron.walls((start + offset).replace(tzinfo=None)):
                time = (wall - offset).replace(tzinfo=UTC)
                if time > end:
                    upcoming.append(time)
                    break
                if time.astimezone(zone).replace(tzinfo=None) == wall:
                    found.add(time)
        yield from sorted(found)
        start = max(end, min(upcoming) - 2 * DAY)


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    """Return how far the zone's clock is ahead of UTC."""
    return at.astimezone(zone).utcoffset() or timedelta()


def _first_moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return when a clock first shows a wall time, or the end of the gap that swallows it."""
    time = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if time.astimezone(zone).replace(tzinfo=None) == wall:
        return time
    # In a gap fold 0 counts with the offset before it and fold 1 with the one after, so that the
    # change lies between the two moments they give.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), time
    offset = _offset(before, zone)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset(middle, zone) == offset:
            before = middle
        else:
            after = middle
    return after


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """Return a time zone.

    Raises: ValueError for a name that is not in the time zone database.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error
