"""Filters of the console's lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Final

from django.contrib.admin.options import ModelAdmin
from django.db.models import Count, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from jobs.admin import subjects
from jobs.queues import QUEUES

SEEN_ROWS: Final = 10_000
"""Lists of values seen (kinds, error classes) look at this many of the newest rows."""
AGES: Final = {
    "1h": ("In the last hour", timedelta(hours=1), True),
    "1d": ("In the last day", timedelta(days=1), True),
    "7d": ("In the last 7 days", timedelta(days=7), True),
    "over7d": ("More than 7 days ago", timedelta(days=7), False),
    "over30d": ("More than 30 days ago", timedelta(days=30), False),
}


class QueueFilter(DropdownFilter):
    """By queue: the declared ones, used or not."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer every queue of the table."""
        return [(name, name) for name in QUEUES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen queue."""
        return queryset.filter(queue=self.value()) if self.value() else queryset


class SeenValuesFilter(DropdownFilter):
    """By a column whose values are not known beforehand: those of the newest rows, counted."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the values seen, the most frequent first, and the chosen one in any case."""
        newest = model_admin.model._default_manager.order_by("-pk").values("pk")[:SEEN_ROWS]
        counted = (
            model_admin.model._default_manager.filter(pk__in=newest)
            .order_by()
            .values_list(self.column)
            .annotate(rows=Count("pk"))
            .order_by("-rows", self.column)[:100]
        )
        offered = [(value, f"{value} ({rows})") for value, rows in counted if value]
        chosen = request.GET.get(str(self.parameter_name), "")
        if chosen and chosen not in {value for value, _ in offered}:
            offered.append((chosen, chosen))
        return offered

    def has_output(self) -> bool:
        """Stay on the page when there is nothing to choose, so that it does not jump."""
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the chosen value."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class KindFilter(SeenValuesFilter):
    """By kind of job."""

    title = "kind"
    parameter_name = "kind"
    column = "kind"


class ActionFilter(SeenValuesFilter):
    """By what was done."""

    title = "action"
    parameter_name = "action"
    column = "action"


class OrganizationFilter(TextFilter):
    """By organization: its id, its slug or a part of its name."""

    title = "organization (id, slug or name)"
    parameter_name = "organization"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the organizations found."""
        text = (self.value() or "").strip()
        if not text:
            return queryset
        return queryset.filter(organization_id__in=subjects.find("organization", text))


class AgeFilter(DropdownFilter):
    """By how long ago; the database's clock decides."""

    title = "age"
    parameter_name = "age"
    column: ClassVar[str] = "created_at"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer a few ages."""
        return [(value, title) for value, (title, _, _) in AGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows younger, or older, than the chosen age."""
        if self.value() not in AGES:
            return queryset
        _, age, younger = AGES[str(self.value())]
        return queryset.filter(**{f"{self.column}__{'gte' if younger else 'lt'}": Now() - age})


class StateFilter(DropdownFilter):
    """By state of the model's `state` field, starting with `default` when none is asked for."""

    title = "state"
    parameter_name = "state"
    default: ClassVar[str] = "all"
    all_option = ["all", "All"]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the states."""
        field: Any = model_admin.model._meta.get_field("state")
        return [(value, str(label).replace("_", " ")) for value, label in field.choices]

    def value(self) -> str:
        """The state asked for."""
        return super().value() or self.default

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows in that state."""
        return queryset if self.value() == "all" else queryset.filter(state=self.value())


class OpenFirstFilter(StateFilter):
    """By state; the list opens with what still waits for an answer."""

    default = "open"
