"""When recurring work is due: against a clock that is walked step by step (W-12, P14)."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from croniter import croniter  # type: ignore[import-untyped]

from jobs.rhythm import Rhythm

HOUR = timedelta(hours=1)
# All cases name multiples of it, and all clocks differ by multiples of it.
STEP = timedelta(minutes=5)
TWICE = ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"]
YEAR = 2026


@dataclass(frozen=True)
class Case:
    """An expression, what it means for a wall time, and whether it is for every hour."""

    cron: str
    matches: Callable[[datetime], bool]
    every_hour: bool = False


CASES = [
    Case("15 * * * *", lambda t: t.minute == 15, every_hour=True),
    Case("*/20 * * * *", lambda t: t.minute % 20 == 0, every_hour=True),
    Case("45 */1 * * sun", lambda t: t.minute == 45 and t.weekday() == 6, every_hour=True),
    Case("0 0 * * *", lambda t: (t.hour, t.minute) == (0, 0)),
    Case("30 2 * * *", lambda t: (t.hour, t.minute) == (2, 30)),
    Case("10 0-3 * * *", lambda t: t.hour <= 3 and t.minute == 10),
    Case("*/15 1,2,23 * * *", lambda t: t.hour in {1, 2, 23} and t.minute % 15 == 0),
    Case("30 1 * * 0", lambda t: (t.hour, t.minute) == (1, 30) and t.weekday() == 6),
    Case("0 */6 1-31/2 * *", lambda t: t.hour % 6 == t.minute == 0 and t.day % 2 == 1),
    Case(
        "5 4 13 * fri",
        lambda t: (t.hour, t.minute) == (4, 5) and (t.day == 13 or t.weekday() == 4),
    ),
]


@dataclass(frozen=True)
class Walk:
    """Every fifth minute between two moments: what a clock showed, and what it skipped."""

    zone: str
    start: datetime
    steps: list[tuple[datetime, datetime, list[datetime]]]

    @property
    def end(self) -> datetime:
        """The last moment."""
        return self.steps[-1][0]

    def expected(self, case: Case) -> list[datetime]:
        """The moments at which a case is due."""
        seen: set[datetime] = set()
        due = []
        for moment, wall, skipped in self.steps:
            hit = case.matches(wall) and (case.every_hour or wall not in seen)
            if hit:
                seen.add(wall)
            if skipped and not case.every_hour:
                hit = hit or any(map(case.matches, skipped))
            if hit:
                due.append(moment)
        return due

    def found(self, case: Case) -> list[datetime]:
        """The moments that the rhythm gives."""
        rhythm = Rhythm(cron=case.cron, timezone=self.zone)
        before = self.start - timedelta(microseconds=1)
        times = rhythm.times(after=before, anchor=before)
        return list(takewhile(lambda time: time <= self.end, times))


def walk(zone: str, start: datetime, end: datetime) -> Walk:
    """Walk a clock."""
    clock = ZoneInfo(zone)
    steps = []
    moment, before = start, (start - STEP).astimezone(clock).replace(tzinfo=None)
    while moment <= end:
        wall = moment.astimezone(clock).replace(tzinfo=None)
        skipped = []
        while wall - before > STEP:
            before += STEP
            skipped.append(before)
        steps.append((moment, wall, skipped))
        moment, before = moment + STEP, wall
    return Walk(zone, start, steps)


def changes(zone: str, year: int) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """The moments of a year, at most an hour early, after which a zone's clock is another one."""
    clock = ZoneInfo(zone)

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(clock).utcoffset() or timedelta()

    for day in range(366):
        start = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
        if offset(start) == offset(start + 24 * HOUR):
            continue
        for moment in (start + hour * HOUR for hour in range(24)):
            if offset(moment) != offset(moment + HOUR):
                yield moment, offset(moment), offset(moment + HOUR)


def windows() -> list[Walk]:
    """Every kind of clock change of the year, in one zone each, and some old ones."""
    kinds = {
        change: zone
        for zone in sorted(available_timezones(), reverse=True)
        for change in changes(zone, YEAR)
    }
    assert len(kinds) > 30
    odd = [
        # A day that never was; changes at midnight; half an hour; two hours; a change of side.
        *(("Pacific/Apia", 2011), ("Asia/Beirut", 2024), ("America/Asuncion", 2023)),
        *(("Antarctica/Troll", 2024), ("Australia/Lord_Howe", 2024), ("Asia/Pyongyang", 2018)),
        *(("America/Caracas", 2016), ("Africa/Casablanca", 2024), ("Asia/Kathmandu", 1986)),
    ]
    kinds |= {change: zone for zone, year in odd for change in changes(zone, year)}
    return [
        walk(zone, at - timedelta(hours=14), at + timedelta(hours=30))
        for (at, _, _), zone in kinds.items()
    ]


def test_cron__around_every_kind_of_clock_change__is_what_the_clock_showed() -> None:
    # P14
    wrong = [
        (walked.zone, walked.start, case.cron)
        for walked in windows()
        for case in CASES
        if walked.found(case) != walked.expected(case)
    ]

    assert wrong == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_cron__over_a_whole_year__is_what_the_clock_showed(zone: str) -> None:
    # P14
    walked = walk(zone, datetime(YEAR, 1, 1, tzinfo=UTC), datetime(YEAR, 12, 31, tzinfo=UTC))
    every = Case("*/5 * * * *", lambda _: True, every_hour=True)

    for case in (every, *CASES):
        assert walked.found(case) == walked.expected(case), case.cron


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("Europe/Berlin", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25T01:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00"),
        ("Pacific/Apia", "2011-12-30T10:00"),
    ],
)
def test_next_time__asked_at_any_moment_around_a_change__is_the_first_one_after(
    zone: str, at: str
) -> None:
    # A scheduler asks anew after each run, and after each restart, with nothing but the clock.
    change = datetime.fromisoformat(at).replace(tzinfo=UTC)
    walked = walk(zone, change - timedelta(hours=30), change + timedelta(days=9))
    chance = random.Random(7)
    asked = [change - 6 * HOUR + timedelta(seconds=chance.random() * 43_200) for _ in range(60)]
    asked += [change, change - STEP, change + HOUR, change - timedelta(microseconds=1)]

    for case in CASES[:8]:
        due = walked.expected(case)
        rhythm = Rhythm(cron=case.cron, timezone=zone)
        for moment in asked:
            following = rhythm.following(after=moment, anchor=moment)
            assert following == due[bisect_right(due, moment)], (case.cron, moment)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # The night of 29 March 2026 in Berlin: 01:59 is followed by 03:00 (01:00 UTC).
        ("30 2 * * *", ["2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"]),
        ("0 3 * * *", ["2026-03-28 02:00", "2026-03-29 01:00", "2026-03-30 01:00"]),
        ("0,30 2 29 3 *", ["2026-03-29 01:00", "2027-03-29 00:00"]),
        # The night of 25 October: 02:59 is followed by 02:00 (01:00 UTC).
        ("30 2 25 10 *", ["2026-10-25 00:30", "2027-10-25 00:30"]),
        ("30 0-23 25 10 *", ["2026-10-24 22:30", "2026-10-24 23:30", *TWICE]),
    ],
)
def test_cron__in_the_nights_of_change__is_as_written_in_the_documentation(
    cron: str, expected: list[str]
) -> None:
    start = datetime(2026, 3, 27, 12, tzinfo=UTC)
    times = Rhythm(cron=cron, timezone="Europe/Berlin").times(after=start, anchor=start)

    assert [f"{time:%Y-%m-%d %H:%M}" for time in islice(times, len(expected))] == expected


def test_cron__of_many_random_expressions__agrees_with_croniter_in_utc() -> None:
    chance = random.Random(11)

    def field(low: int, high: int) -> str:
        # Two different numbers: croniter takes a range of one, `4-4`, for a `*`.
        one, two = sorted(chance.sample(range(low, high + 1), 2))
        step = chance.randint(1, max(high // 2, 1))
        return chance.choice(["*", "*", f"{one}", f"{one}-{two}", f"*/{step}", f"{one},{two}"])

    start = datetime(2026, 2, 10, 3, 59, 30, tzinfo=UTC)
    for _ in range(300):
        # Where both fields of the day are given, ours follows cron and croniter has its own mind.
        days = chance.choice([("*", field(0, 6)), (field(1, 28), "*")])
        cron = f"{field(0, 59)} {field(0, 23)} {days[0]} {field(1, 12)} {days[1]}"
        theirs = croniter(cron, start)
        ours = Rhythm(cron=cron).times(after=start, anchor=start)

        assert [next(ours) for _ in range(20)] == [theirs.get_next(datetime) for _ in range(20)], (
            cron
        )


def test_plain_period__however_often__does_not_drift() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    rhythm = Rhythm(every_s=0.1)

    times = list(islice(rhythm.times(after=anchor, anchor=anchor), 100_000))

    assert times[-1] == anchor + timedelta(seconds=10_000)
    at = anchor + timedelta(seconds=7.05)
    assert rhythm.following(after=at, anchor=anchor) == anchor + timedelta(seconds=7.1)
    back = rhythm.following(after=anchor - timedelta(seconds=0.25), anchor=anchor)
    assert back == anchor - timedelta(seconds=0.2)


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("* * * *", "4 fields"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "weekday"),
        ("5/10 * * * *", "not a range"),
        ("10-5 * * * *", "not a range"),
        ("*/0 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("² * * * *", "minute"),
        ("@daily", "1 fields"),
        ("0 0 30 2 *", "no such day"),
        ("0 0 31 4,6,9,11 *", "no such day"),
    ],
)
def test_cron__that_would_not_run__is_refused_with_the_field(cron: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Rhythm(cron=cron)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "europe", "UTC\0"])
def test_zone__that_is_none__is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Rhythm(cron="0 0 * * *", timezone=zone)


@pytest.mark.parametrize("every_s", [0.0, -1.0, float("nan"), float("inf"), 0.0001])
def test_plain_period__that_is_none__is_refused(every_s: float) -> None:
    with pytest.raises(ValueError, match="either every_s or cron"):
        Rhythm(every_s=every_s)


def test_weekday__seven_and_names__are_what_they_mean() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def first(cron: str) -> datetime:
        return Rhythm(cron=cron).following(after=start, anchor=start)

    assert first("0 0 * * 7") == first("0 0 * * 0") == first("0 0 * * SUN") == start.replace(day=4)
    assert first("0 0 * * mon-fri") == start.replace(day=2)
    assert first("0 0 1 feb,dec *") == start.replace(month=2)
    assert first("0 0 29 2 *") == datetime(2028, 2, 29, tzinfo=UTC)
