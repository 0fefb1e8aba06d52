"""The open dead letters by cause: one line for each, however many died of it (D-07)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.admin.charts import bars
from jobs.admin.display import badge, count, cut, moment
from jobs.admin.panels import Alarm, Panel, Reading, register
from jobs.models import FailedJob, FailureGroup
from jobs.selectors.failure_groups import Trend, counted_groups, trends
from jobs.states import LetterState

SHOWN: Final = 6
LIKELY: Final = 50
"""Groups that are counted to this moment: those with the most letters, and those seen last."""
COUNTED: Final = 10_000
HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Cause:
    """A failure group as the panel shows it."""

    group: Any
    trend: Trend

    @property
    def error(self) -> str:
        """The class of the error, without its module."""
        return _error_of(self.group)

    @property
    def message(self) -> str:
        """The start of its message."""
        return cut(self.group.message)

    @property
    def letters(self) -> str:
        """How many are open."""
        return count(self.group.open_now)

    @property
    def first(self) -> SafeString | str:
        """When the first of all died of it."""
        return moment(self.group.born_at)

    @property
    def last(self) -> SafeString | str:
        """When the last one did."""
        return moment(self.group.seen_at)

    @property
    def standing(self) -> SafeString | str:
        """Whether somebody knows of it."""
        return badge("acknowledged") if self.group.acknowledged_at else ""

    @property
    def chart(self) -> SafeString:
        """When they died, over the last day."""
        deaths = sum(self.trend.counts)
        return bars(self.trend.counts, label=f"{deaths:,} deaths of it in the last {HOURS} hours")

    @property
    def href(self) -> str:
        """The group."""
        return _href_of(self.group)


def read() -> Reading:
    """Read the panel: the causes with the most open letters, and how many letters there are."""
    groups = FailureGroup.objects.order_by()
    likely = {
        *groups.order_by("-open").values_list("pk", flat=True)[:LIKELY],
        *groups.order_by("-last_seen_at").values_list("pk", flat=True)[:LIKELY],
    }
    open_ones = counted_groups().filter(pk__in=likely, open_now__gt=0)
    causes = list(open_ones.order_by("-open_now", "-seen_at"))
    shown = causes[:SHOWN]
    found = trends(fingerprints=[group.pk for group in shown], hours=HOURS)
    letters = FailedJob.objects.filter(state=LetterState.OPEN).order_by()[:COUNTED].count()
    return Reading(
        {
            "causes": [Cause(group, found[group.pk]) for group in shown],
            "total": count(letters, is_exact=letters < COUNTED),
            "groups_href": reverse("admin:jobs_failuregroup_changelist"),
        },
        _alarms([group for group in causes if group.acknowledged_at is None]),
    )


def _alarms(unknown: list[Any]) -> list[Alarm]:
    """Tell of letters whose cause nobody has acknowledged: one cause by its name, more together."""
    if not unknown:
        return []
    letters = sum(group.open_now for group in unknown)
    said = f"{letters:,} dead letters" if letters > 1 else "A dead letter"
    if len(unknown) == 1:
        group = unknown[0]
        text = f"{said} of a cause that nobody has acknowledged: {_error_of(group)}, {group.kind}"
        return [Alarm(text, _href_of(group), "warning")]
    text = f"{said} of {len(unknown)} causes that nobody has acknowledged"
    href = f"{reverse('admin:jobs_failuregroup_changelist')}?standing=new"
    return [Alarm(text, href, "warning")]


def _error_of(group: Any) -> str:
    return str(group.error_class).rpartition(".")[2]


def _href_of(group: Any) -> str:
    return reverse("admin:jobs_failuregroup_change", args=[group.pk])


register(
    Panel(
        name="letters",
        title="Dead letters",
        icon="report",
        model="jobs.failedjob",
        template="admin/overview/letters.html",
        read=read,
        place=20,
    )
)
