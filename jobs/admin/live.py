"""The live log: telemetry as it comes, narrowed down, from wherever one left off (O-02, O-09).

The page asks for what lies behind the last event it has. It needs no stream, which another process
serves to holders of keys: an operator has a session, which is looked at again with each question,
and eight threads answer the API and the console.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono, pretty_json
from jobs.admin.links import worker_link
from jobs.models import TelemetryEvent
from jobs.telemetry import Event, Wanted, current_sink, list_events

SHOWN: Final = 200
LOOKED_AT: Final = 2_000
"""The page begins with what matches among so many of the newest events."""
AT_ONCE: Final = 500
FACT_CHARACTERS: Final = 160
LARGEST: Final = 2**63 - 1
FAMILIES: Final = (
    "build",
    "job",
    "limits",
    "redis",
    "schedule",
    "signature",
    "telemetry",
    "worker",
)
TONES: Final = {
    "bad": {"dead", "degraded", "downgrade_tried", "dropped", "failed", "forged", "lost"}
    | {"missed", "replayed", "stale", "wiped"},
    "odd": {"cancel_requested", "cancelled", "mismatched", "throttled"},
    "good": {"back", "deployed", "restored", "started"},
}


class Question(forms.Form):
    """What of the log is wanted; what is empty narrows nothing."""

    name = forms.RegexField(
        r"\A[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*(\.\*)?\Z",
        required=False,
        max_length=100,
        error_messages={"invalid": "Names read job.dead, or job.* for all that begin so."},
    )
    organization = forms.CharField(required=False, max_length=100)
    about = forms.CharField(required=False, max_length=200)
    after = forms.IntegerField(required=False, min_value=0, max_value=LARGEST)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which events are shown. `about` is the id of what they tell of, or the name of a worker."""

    wanted: Wanted
    organization_ids: frozenset[uuid.UUID] | None = None
    about: str = ""

    def takes(self, event: Event) -> bool:
        """Is it shown?"""
        if self.organization_ids is not None and event.organization_id not in self.organization_ids:
            return False
        ids = {event.source, event.request_id, event.correlation_id}
        return not self.about or self.about in ids | {str(value) for value in event.data.values()}


@dataclass(frozen=True, slots=True)
class Line:
    """One event, written for reading."""

    event: Event
    tone: str
    facts: list[tuple[str, SafeString | str]]

    @property
    def before(self) -> int:
        """What to read on from, for this to be the first."""
        return self.event.sequence - 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines, the oldest first, and the number to go on from.

    `gap` says what of the log the reader cannot see any more; `is_full` that there is more at once.
    """

    lines: list[Line]
    reached: int
    gap: str = ""
    is_full: bool = False


def written(events: Sequence[Event]) -> list[Line]:
    """Write events, their organizations by name: one query for all of them."""
    names = subjects.names("organization", {event.organization_id for event in events})
    return [_line(event, names) for event in events]


def _line(event: Event, names: dict[uuid.UUID, str]) -> Line:
    """Write one event."""
    facts = [(name, _fact(name, value)) for name, value in event.data.items() if value != ""]
    if event.organization_id is not None:
        name = names.get(event.organization_id, "")
        facts.append(("organization", subjects.link("organization", event.organization_id, name)))
    happened = event.name.rpartition(".")[2]
    tone = next((tone for tone, endings in TONES.items() if happened in endings), "plain")
    return Line(event, tone, facts)


def _fact(name: str, value: Any) -> SafeString | str:
    """Write one value, linked where it names something that has a page."""
    if name == "worker" and isinstance(value, str):
        return worker_link(value)
    if name.endswith("Id") and isinstance(value, str):
        return subjects.link(name.removesuffix("Id"), value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= FACT_CHARACTERS else f"{text[: FACT_CHARACTERS - 1]}…"


def narrowed(asked: dict[str, Any]) -> Narrowing:
    """Return what a valid question asks for."""
    text = asked["organization"]
    owners = frozenset(subjects.find("organization", text)) if text else None
    return Narrowing(Wanted(everyone=True, name=asked["name"]), owners, asked["about"])


def newest(narrowing: Narrowing) -> Piece:
    """Read the end of the log: what matches among the LOOKED_AT newest events of that name."""
    # Before the events: what comes in between is asked for again, and shown then.
    reached = current_sink().bounds()[1]
    found = list_events(wanted=narrowing.wanted, before=reached + 1, limit=LOOKED_AT)
    matching = [event for event in found if narrowing.takes(event)][:SHOWN]
    return Piece(written(matching[::-1]), reached)


def behind(narrowing: Narrowing, after: int) -> Piece:
    """Read what follows an event, the next AT_ONCE at most."""
    first, last = current_sink().bounds()
    start = min(max(after, first - 1), last)
    read = current_sink().read(after=start, wanted=narrowing.wanted, limit=AT_ONCE)
    matching = [event for event in read.events if narrowing.takes(event)]
    gap = ""
    if start > after:
        gap = f"Events up to {start} are not kept any more."
    elif start < after:
        gap = "The log has been set back, as by a backup that was restored."
    return Piece(written(matching), read.reached, gap, len(read.events) == AT_ONCE)


@admin.register(TelemetryEvent)
class TelemetryEventAdmin(ReadOnlyAdmin):
    """Telemetry of every process and organization; its list is the live log."""

    fields = ("name", "happened", "organization", "source", "request_code", "data_text")
    readonly_fields = ("happened", "organization", "request_code", "data_text")
    named_by: ClassVar = {"organization": "organization_id"}

    def name_of(self, event: TelemetryEvent) -> str:
        """What happened, and when."""
        return f"{event.name}, {event.at:%Y-%m-%d %H:%M:%S}"

    def get_urls(self) -> list[URLPattern]:
        """Add what the page asks."""
        tail = self.admin_site.admin_view(require_GET(self.tail_view))
        return [path("tail/", tail, name="jobs_telemetryevent_tail"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the log from its end, or from behind an event, and what is needed to go on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Question(request.GET)
        query = request.GET.copy()
        query.pop("after", None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Live log",
            "opts": self.opts,
            "form": form,
            "families": FAMILIES,
            "piece": self._read(form) if form.is_valid() else Piece([], LARGEST),
            "tail": f"{reverse('admin:jobs_telemetryevent_tail')}?{query.urlencode()}",
            "query": query.urlencode(),
        }
        return TemplateResponse(request, "admin/jobs/telemetryevent/live.html", context)

    def tail_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with what came behind the event that the page has reached."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Question(request.GET)
        if not form.is_valid() or form.cleaned_data["after"] is None:
            return HttpResponse("Not a question to the log.\n", status=400)
        context = {"piece": self._read(form)}
        return TemplateResponse(request, "admin/jobs/telemetryevent/events.html", context)

    def _read(self, form: Question) -> Piece:
        """Read what a valid question asks for."""
        narrowing, after = narrowed(form.cleaned_data), form.cleaned_data["after"]
        return newest(narrowing) if after is None else behind(narrowing, after)

    @display(description="When")
    def happened(self, event: TelemetryEvent) -> SafeString | str:
        """How long ago."""
        return moment(event.at)

    @display(description="Organization")
    def organization(self, event: TelemetryEvent) -> SafeString | str:
        """Whose it is; the platform's has none."""
        name = getattr(event, "organization_name", "")
        return subjects.link("organization", event.organization_id, name)

    @display(description="Request id")
    def request_code(self, event: TelemetryEvent) -> SafeString | str:
        """The request that led to it."""
        return mono(event.request_id)

    @display(description="Data")
    def data_text(self, event: TelemetryEvent) -> SafeString | str:
        """What it says."""
        return pretty_json(event.data)
