"""What was done with credits, by operation: the daily rollups, and their sums (B-10, C-07)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from builds.models import CreditDay
from builds.selectors.analytics import (
    Moved,
    Period,
    Point,
    segment_analytics,
    usage_analytics,
)
from credits.states import EntryKind
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.charts import Series, steps
from jobs.admin.display import badge, moment
from jobs.admin.filters import OrganizationFilter

DAYS: Final = 30
OTHERS: Final = (7, 90, 365)
MARKS: Final = 5
TONES: Final = {"grant": "success", "reserve": "info", "commit": "warning", "expire": "danger"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a period, the largest first, and what was charged each day.

    Of each operation its name, how many entries, how many credits.
    """

    operations: list[tuple[str, str, str]]
    chart: SafeString
    rolled: SafeString | str


class PeriodFilter(DropdownFilter):
    """By day: those of a period that ends today."""

    title = "period"
    parameter_name = "days"
    all_option = ["", f"The last {DAYS} days"]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the other periods."""
        return [(str(days), f"The last {days} days") for days in OTHERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the days of the period."""
        return queryset.filter(day__gte=period_of(self.value()).since)


class OperationFilter(DropdownFilter):
    """By kind of ledger entry."""

    title = "operation"
    parameter_name = "operation"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer what moves credits."""
        return [(str(kind), str(kind)) for kind in EntryKind if kind != EntryKind.OPEN]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen one."""
        return queryset.filter(operation=self.value()) if self.value() else queryset


def period_of(days: str | None) -> Period:
    """Return the days up to today (UTC) that were asked for, where they are offered."""
    wanted = next((each for each in OTHERS if str(each) == days), DAYS)
    today = datetime.now(UTC).date()
    return Period(today - timedelta(days=wanted - 1), today)


def read_usage(request: HttpRequest) -> Usage | None:
    """Add up what the one organization asked for has moved, or all of them where none is.

    None where several are meant: their sums are not read one by one.
    """
    period = period_of(request.GET.get("days"))
    text = request.GET.get("organization", "").strip()
    found = subjects.find("organization", text) if text else []
    if text and len(found) != 1:
        return None
    if found:
        mine = usage_analytics(organization_id=found[0], period=period)
        moved, points, rolled_at = mine.by_operation, mine.series, mine.rolled_at
    else:
        all_of_them = segment_analytics(period=period)
        moved, points, rolled_at = all_of_them.by_segment, all_of_them.series, all_of_them.rolled_at
    return Usage(_summed(moved), _chart(period, points), moment(rolled_at, empty=""))


def _summed(moved: Iterable[Moved]) -> list[tuple[str, str, str]]:
    """Add up what the segments moved, by operation, and write it."""
    sums: dict[str, Moved] = {}
    for each in moved:
        total = sums.setdefault(each.name, Moved(each.name, 0, 0))
        total.entries += each.entries
        total.credits += each.credits
    largest_first = sorted(sums.values(), key=lambda total: -total.credits)
    return [(each.name, f"{each.entries:,}", f"{each.credits:,}") for each in largest_first]


def _chart(period: Period, points: Iterable[Point]) -> SafeString:
    """Draw what was charged on each day of a period."""
    charged: defaultdict[Any, int] = defaultdict(int)
    for point in points:
        charged[point.start] += point.credits.get("commit", 0)
    days = (period.until - period.since).days
    dates = [period.since + timedelta(days=number) for number in range(days + 1)]
    values = [charged[date] for date in dates]
    marks = [f"{dates[round(days * number / (MARKS - 1))]:%b %d}" for number in range(MARKS)]
    label = f"Credits charged each day of the last {days + 1} days: {sum(values):,} in all"
    series = Series("balance", "Charged each day", values)
    return steps([series], marks=marks, label=label)


@admin.register(CreditDay)
class CreditDayAdmin(ReadOnlyAdmin):
    """Days of each organization, by operation; above them the sums of what is filtered for."""

    list_display = ("day", "organization_link", "operation_badge", "entries", "credits_text")
    list_filter: ClassVar = (PeriodFilter, OrganizationFilter, OperationFilter)
    search_fields = ("operation__exact",)
    search_help_text = "Organization id, or an operation"
    search_ids: ClassVar = {"org": ("organization_id",)}
    ordering = ("-day", "-id")
    list_select_related = ("organization",)
    fields = ("day", "organization_link", "operation_badge", "entries", "credits_text")
    readonly_fields = ("organization_link", "operation_badge", "credits_text")
    list_before_template = "admin/builds/creditday/usage.html"

    def name_of(self, day: CreditDay) -> str:
        """Whose, what and when."""
        return f"{day.organization.name}, {day.operation}, {day.day}"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the sums above the list."""
        return super().changelist_view(
            request, {**(extra_context or {}), "usage": read_usage(request)}
        )

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, day: CreditDay) -> SafeString | str:
        """Whose credits."""
        return subjects.link("organization", day.organization_id, day.organization.name)

    @display(description="Operation", ordering="operation")
    def operation_badge(self, day: CreditDay) -> SafeString:
        """What was done with them."""
        return badge(day.operation, TONES.get(day.operation, "default"))

    @display(description="Credits", ordering="credits")
    def credits_text(self, day: CreditDay) -> str:
        """How many."""
        return f"{day.credits:,}"
