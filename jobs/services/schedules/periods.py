"""Which planned times have come, and what is to become of each (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, takewhile
from typing import Final

from jobs.models.schedule import PeriodOutcome
from jobs.rhythm import CatchUp, Rhythm

LISTED_MAX: Final = 1000
"""Missed periods of one schedule that are written down one by one, the newest."""

RUNS_MAX: Final = 200
"""Runs of one schedule that are inserted at once, the newest."""


@dataclass(frozen=True, slots=True)
class Period:
    """A planned time and its outcome; a note says why it is missed."""

    planned_at: datetime
    outcome: PeriodOutcome
    note: str = ""


def due_times(rhythm: Rhythm, *, first: datetime, now: datetime) -> list[datetime]:
    """Return the planned times from `first` to `now`, at most the LISTED_MAX newest."""
    return list(deque(takewhile(lambda time: time <= now, _from(rhythm, first, now)), LISTED_MAX))


def decide(
    times: list[datetime], *, now: datetime, catch_up: CatchUp, grace: timedelta
) -> list[Period]:
    """Say what becomes of planned times that have come; `times` is sorted.

    A time within the grace runs. Of those that were missed all run, or the newest for all of them
    unless a later time runs anyhow, or none.
    """
    late = [time for time in times if now - time > grace]
    runs = {time: PeriodOutcome.ENQUEUED for time in times[len(late) :]}
    note = "its schedule does not catch up"
    if catch_up is CatchUp.ALL:
        runs |= dict.fromkeys(late, PeriodOutcome.CAUGHT_UP)
    elif catch_up is CatchUp.ONE:
        if late and not runs:
            runs[late[-1]] = PeriodOutcome.CAUGHT_UP
        note = f"one run for all, planned at {min(runs):%Y-%m-%d %H:%M:%S} UTC" if runs else ""
    if len(runs) > RUNS_MAX:
        newest = sorted(runs)[-RUNS_MAX:]
        runs = {time: runs[time] for time in newest}
        note = f"more than {RUNS_MAX} runs at once"
    return [
        Period(time, runs[time]) if time in runs else Period(time, PeriodOutcome.MISSED, note)
        for time in times
    ]


def missed(times: list[datetime], note: str) -> list[Period]:
    """Say that none of these times has a run."""
    return [Period(time, PeriodOutcome.MISSED, note) for time in times]


def _from(rhythm: Rhythm, first: datetime, now: datetime) -> Iterator[datetime]:
    """Yield the times from `first` on; of a plain period only those that may be listed."""
    if rhythm.every_s is not None:
        listed = now - timedelta(seconds=rhythm.every_s) * LISTED_MAX
        if listed > first:
            return rhythm.times(after=listed, anchor=first)
    # `first` may be a time of an earlier rhythm.
    return chain([first], rhythm.times(after=first, anchor=first))
