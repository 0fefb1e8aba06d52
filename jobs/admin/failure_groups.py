"""Failure groups: one line for each cause, however many died of it (D-07)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.views import ChangeList

from jobs.admin import subjects
from jobs.admin.base import NamedChangeList, ReadOnlyAdmin, operator_of
from jobs.admin.charts import bars
from jobs.admin.display import badge, cut, moment
from jobs.admin.filters import SeenValuesFilter
from jobs.errors import Refusal
from jobs.models import FailedJob, FailureGroup
from jobs.selectors.failure_groups import Trend, counted_groups, trends
from jobs.services.failure_groups import (
    NOTE_CHARS,
    acknowledge_group,
    withdraw_acknowledgement,
    write_note,
)

HOURS_SHOWN = 24
DAYS_SHOWN = 30
LETTERS_SHOWN = 10


class NoteForm(forms.Form):
    """What is known of a cause."""

    note = forms.CharField(max_length=NOTE_CHARS, required=False, strip=True)


class StandingFilter(DropdownFilter):
    """By what is to be done: groups with open letters, and who knows of them."""

    title = "standing"
    parameter_name = "standing"
    all_option = ["all", "All"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer what a group may be."""
        return [
            ("open", "With open letters"),
            ("new", "Open, not acknowledged"),
            ("acknowledged", "Acknowledged"),
            ("answered", "Without open letters"),
        ]

    def value(self) -> str:
        """The standing asked for; groups that wait for an answer come first."""
        return super().value() or "open"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the groups of that standing."""
        match self.value():
            case "open":
                return queryset.filter(open_now__gt=0)
            case "new":
                return queryset.filter(open_now__gt=0, acknowledged_at__isnull=True)
            case "acknowledged":
                return queryset.filter(acknowledged_at__isnull=False)
            case "answered":
                return queryset.filter(open_now=0)
        return queryset


class GroupKindFilter(SeenValuesFilter):
    """By kind of job."""

    title = "kind"
    parameter_name = "kind"
    column = "kind"


class GroupChangeList(NamedChangeList):
    """A page of groups with the trend of each, one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then the trends."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        shown = trends(fingerprints=[row.pk for row in self.result_list], hours=HOURS_SHOWN)
        for row in self.result_list:
            row.trend = shown[row.pk]


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnlyAdmin):
    """Groups: acknowledged and annotated by POST, each decision audited."""

    list_display = ("what", "error", "open_letters", "all_deaths", "last_day", "seen", "standing")
    list_display_links = ("what",)
    list_filter = (StandingFilter, GroupKindFilter)
    search_fields = ("message", "error_class", "kind", "fingerprint__startswith", "note")
    search_help_text = "Kind, error, message, note or fingerprint"
    fields = ("fingerprint",)
    change_form_outer_before_template = "admin/jobs/failuregroup/group.html"

    # --- Rows ---

    def get_changelist(  # type: ignore[override]  # the theme's annotation means the class
        self, request: HttpRequest, **kwargs: Any
    ) -> type[ChangeList]:
        """Use the list that reads trends."""
        return GroupChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailureGroup]:
        """Count to this moment."""
        return counted_groups()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Put what was seen last first."""
        return ("-seen_at", "fingerprint")

    def name_of(self, group: FailureGroup) -> str:
        """What died, and of what."""
        return f"{group.kind}, {group.error_class.rpartition('.')[2]}"

    # --- Permissions ---

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """May this operator acknowledge and annotate?"""
        return bool(request.user.has_perm("jobs.acknowledge_failuregroup"))

    # --- Decisions ---

    def get_urls(self) -> list[URLPattern]:
        """Add the decisions; they exist for POST only."""
        wrap = self.admin_site.admin_view
        return [
            *(
                path(
                    f"<str:object_id>/{name}/",
                    wrap(require_POST(view)),
                    name=f"jobs_failuregroup_{name}",
                )
                for name, view in (
                    ("acknowledge", self.acknowledge_view),
                    ("withdraw", self.withdraw_view),
                    ("note", self.note_view),
                )
            ),
            *super().get_urls(),
        ]

    def acknowledge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Acknowledge this group, with what is known of it."""
        return self._decide(request, object_id, acknowledge_group, "Acknowledged.", noted=True)

    def withdraw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take the acknowledgement back."""
        return self._decide(request, object_id, withdraw_acknowledgement, "Withdrawn.")

    def note_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Write the note."""
        return self._decide(request, object_id, write_note, "The note is kept.", noted=True)

    def _decide(
        self, request: HttpRequest, object_id: str, decide: Any, done: str, *, noted: bool = False
    ) -> HttpResponse:
        """Call the service, say what came of it, and go back to the group."""
        if not self.has_acknowledge_permission(request):
            raise PermissionDenied
        form = NoteForm(request.POST)
        act = partial(decide, fingerprint=object_id, actor=operator_of(request))
        try:
            if not form.is_valid():
                messages.error(request, f"Nothing done: {form.errors['note'][0]}")
            else:
                act(**({"note": form.cleaned_data["note"]} if noted else {}))
                messages.success(request, done)
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
        return HttpResponseRedirect(reverse("admin:jobs_failuregroup_change", args=[object_id]))

    # --- Columns ---

    @display(description="Failure group", ordering="kind", header=True)
    def what(self, group: FailureGroup) -> list[str]:
        """Kind, and below it the class of the error."""
        return [group.kind, group.error_class.rpartition(".")[2]]

    @display(description="Message")
    def error(self, group: FailureGroup) -> SafeString:
        """The message of its first death, cut."""
        text = cut(group.message)
        return format_html('<span class="fs-cut" title="{}">{}</span>', group.message[:400], text)

    @display(description="Open", ordering="open_now")
    def open_letters(self, group: FailureGroup) -> SafeString | str:
        """Letters that wait for an answer, linked."""
        rows = getattr(group, "open_now", 0)
        return _letters_link(group, f"{rows:,}") if rows else "0"

    @display(description="Deaths", ordering="deaths_now")
    def all_deaths(self, group: FailureGroup) -> str:
        """All there ever were."""
        return f"{getattr(group, 'deaths_now', 0):,}"

    @display(description="Last 24 hours")
    def last_day(self, group: FailureGroup) -> SafeString:
        """The trend, hour by hour."""
        return _drawn(getattr(group, "trend"), "hour")  # noqa: B009 (set by the list)

    @display(description="Last seen", ordering="seen_at")
    def seen(self, group: FailureGroup) -> SafeString | str:
        """When something last died of it."""
        return moment(getattr(group, "seen_at", None))

    @display(description="Standing", ordering="acknowledged_at")
    def standing(self, group: FailureGroup) -> SafeString:
        """Whether somebody knows, and what came since."""
        since = deaths_since(group)
        if group.acknowledged_at is None:
            return badge("new", "danger")
        return badge(f"{since:,} since", "warning") if since else badge("acknowledged", "info")

    # --- Page ---

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what is known of the cause, and its newest letters."""
        group: FailureGroup = context["original"]
        context.update(
            title=self.name_of(group),
            subtitle=None,
            standing=self.standing(group),
            last_seen=self.seen(group),
            may_acknowledge=self.has_acknowledge_permission(request),
            **_about(group),
            **_drawings(group),
            **_newest(group),
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


def deaths_since(group: FailureGroup) -> int:
    """Return how many have died since the group was acknowledged; 0 where it was not."""
    known = group.acknowledged_deaths
    return 0 if known is None else getattr(group, "deaths_now", known) - known


def _about(group: FailureGroup) -> dict[str, Any]:
    """Describe a group, and where more of it is found."""
    return {
        "since": deaths_since(group),
        "first_seen": moment(getattr(group, "born_at", group.first_seen_at)),
        "acknowledged": moment(group.acknowledged_at),
        "all_letters": _letters_url(group, state="all"),
        "open_letters": _letters_url(group),
        "plan": f"{reverse('admin:jobs_redrive_plan')}?{urlencode({'fingerprint': group.pk})}",
        "trail": subjects.trail(group.pk, "What was done to it"),
    }


def _newest(group: FailureGroup) -> dict[str, Any]:
    """Read the newest letters, and the traceback of the newest."""
    letters = FailedJob.objects.filter(fingerprint=group.pk).order_by("-died_at", "-id")
    shown = list(letters.defer("payload", "traceback")[:LETTERS_SHOWN])
    lines = [(letter, badge(letter.state), moment(letter.died_at)) for letter in shown]
    return {"letters": lines, "traceback": shown[0].traceback if shown else ""}


def _drawings(group: FailureGroup) -> dict[str, Any]:
    """Draw the last day by the hour and the last month by the day."""
    month = trends(fingerprints=[group.pk], hours=24 * DAYS_SHOWN)[group.pk]
    day = month.last(HOURS_SHOWN)
    return {
        "day": _drawn(day, "hour"),
        "day_deaths": sum(day.counts),
        "month": _drawn(month.by_day(), "day"),
        "month_deaths": sum(month.counts),
    }


def _drawn(trend: Trend, unit: str) -> SafeString:
    """Draw a trend; each bar says its time and its number."""
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    titles = [
        f"{trend.since + at * step:%Y-%m-%d %H:%M} UTC: {count:,}"
        for at, count in enumerate(trend.counts)
    ]
    label = f"{sum(trend.counts):,} deaths in {len(trend.counts)} {unit}s"
    return bars(trend.counts, label=label, titles=titles)


def _letters_url(group: FailureGroup, **more: str) -> str:
    query = urlencode({"fingerprint": group.pk, **more})
    return f"{reverse('admin:jobs_failedjob_changelist')}?{query}"


def _letters_link(group: FailureGroup, text: str) -> SafeString:
    return format_html('<a class="fs-link" href="{}">{}</a>', _letters_url(group), text)
