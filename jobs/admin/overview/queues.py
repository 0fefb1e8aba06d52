"""The queues: depth, age, times, what ran lately, paused or not (W-17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.admin.charts import bars
from jobs.admin.display import count, moment, span
from jobs.admin.panels import Alarm, Panel, Reading, register
from jobs.models import QueuePause
from jobs.queues import QUEUES
from jobs.selectors.activity import Activity, queue_activity
from jobs.selectors.pauses import pauses
from jobs.selectors.queues import QueueFacts, QueueTimes, queue_facts, queue_times

LATE_AFTER_S: Final = 300.0
"""A job that could have started so long ago waits for something that is not there."""


@dataclass(frozen=True, slots=True)
class Line:
    """One queue as a page shows it."""

    facts: QueueFacts
    times: QueueTimes
    activity: Activity
    pause: QueuePause | None

    @property
    def queue(self) -> str:
        """The name."""
        return self.facts.queue

    @property
    def name(self) -> str:
        """What people call it."""
        return self.facts.queue.partition(":")[2]

    @property
    def purpose(self) -> str:
        """What it is for."""
        return QUEUES[self.facts.queue].purpose

    @property
    def resumes(self) -> SafeString | str:
        """When the pause ends by itself."""
        return moment(self.pause.resume_at, empty="when resumed") if self.pause else ""

    @property
    def waiting(self) -> str:
        """Jobs that could start now."""
        return count(self.facts.waiting, is_exact=self.facts.is_exact)

    @property
    def is_idle(self) -> bool:
        """Is there nothing to tell of it?"""
        facts = self.facts
        jobs = facts.waiting + facts.running + facts.retrying + facts.delayed
        return self.pause is None and not jobs and not sum(self.activity.runs)

    @property
    def is_late(self) -> bool:
        """Does a job wait that nobody holds back?"""
        return self.pause is None and self.facts.oldest_age_s >= LATE_AFTER_S

    @property
    def oldest(self) -> str:
        """For how long the first of them has waited."""
        return span(self.facts.oldest_age_s) if self.facts.oldest_age_s else "-"

    @property
    def running(self) -> str:
        """Jobs that a worker has in hand."""
        return count(self.facts.running, is_exact=self.facts.is_exact)

    @property
    def later(self) -> str:
        """Jobs that wait out a backoff, or were asked for at a later time."""
        rows = self.facts.retrying + self.facts.delayed
        return count(rows, is_exact=self.facts.is_exact)

    @property
    def waits(self) -> str:
        """From creation to the first start: the middle one, and 95 of 100."""
        return _pair(self.times.wait_p50_s, self.times.wait_p95_s)

    @property
    def takes(self) -> str:
        """A run: the middle one, and 95 of 100."""
        return _pair(self.times.run_p50_s, self.times.run_p95_s)

    @property
    def runs(self) -> str:
        """How many began in the last hour."""
        return f"{'' if self.activity.is_exact else '≈ '}{sum(self.activity.runs):,}"

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(self.activity.failed)

    @property
    def failed_text(self) -> str:
        """The same, written."""
        return f"{'' if self.activity.is_exact else '≈ '}{self.failed:,}"

    @property
    def chart(self) -> SafeString:
        """When they did."""
        told = f"Runs of {self.name} in the last hour: {self.runs}, failed: {self.failed_text}"
        return bars(self.activity.runs, bad=self.activity.failed, label=told)

    @property
    def href(self) -> str:
        """Its jobs."""
        return f"{reverse('admin:jobs_job_changelist')}?queue={self.queue}"

    @property
    def letters_href(self) -> str:
        """Its dead letters."""
        return f"{reverse('admin:jobs_failedjob_changelist')}?queue={self.queue}"


def _pair(middle_s: float | None, most_s: float | None) -> str:
    """Write two lengths of time, where there was anything to measure."""
    return "-" if middle_s is None or most_s is None else f"{span(middle_s)} / {span(most_s)}"


def queue_lines() -> list[Line]:
    """Read every queue, in the order of their table."""
    standing, times, activity = pauses(), queue_times(), queue_activity()
    return [
        Line(facts, times[facts.queue], activity[facts.queue], standing.get(facts.queue))
        for facts in queue_facts()
    ]


def read() -> Reading:
    """Read the panel."""
    lines = queue_lines()
    return Reading({"lines": lines}, [alarm for line in lines for alarm in _alarms(line)])


def _alarms(line: Line) -> list[Alarm]:
    """Say what is wrong with a queue."""
    href = reverse("admin:jobs_queuepause_changelist")
    if line.pause is not None:
        told = f"{line.name} is paused by {line.pause.paused_by}: {line.pause.reason}"
        return [Alarm(told, href, "warning")]
    if line.is_late:
        return [Alarm(f"{line.name}: a job has been waiting for {line.oldest}", line.href)]
    return []


register(
    Panel(
        name="queues",
        title="Queues",
        icon="stacks",
        model="jobs.queuepause",
        template="admin/overview/queues.html",
        read=read,
        place=10,
        is_wide=True,
    )
)
