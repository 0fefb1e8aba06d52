"""Redrives: who answers what, how far it is, and the buttons that approve it or end it (D-07)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.acting import act
from jobs.admin.base import operator_of
from jobs.admin.display import badge, duration, moment, mono, span
from jobs.admin.filters import QueueFilter, StateFilter
from jobs.admin.planning import VERBS, PlanningAdmin, describe_filter
from jobs.models import Redrive
from jobs.selectors.redrives import PREFIX, actor_of
from jobs.services.redrives import abort_redrive, approve_redrive
from jobs.states import RedriveAction, RedriveState

TONES = {
    "proposed": "warning",
    "running": "info",
    "finished": "success",
    "stopped": "danger",
    "aborted": "warning",
}
DONE = {"requeue": "retried", "discard": "discarded"}
subjects.register(subjects.Subject("redrive", prefix=PREFIX, model="jobs.redrive"))


class AbortForm(forms.Form):
    """Why it ends; it may go without."""

    reason = forms.CharField(max_length=500, required=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a redrive is, written for reading; `looked_at` letters of `size` are behind it."""

    looked_at: int
    size: int
    percent: int
    phase: str
    rate: str
    left: str


def progress_of(redrive: Redrive) -> Progress:
    """Say how far it is, how fast it was up to now, and how long the rest takes at its rate."""
    looked_at = min(redrive.size, redrive.done + redrive.refused)
    until = redrive.ended_at or datetime.now(UTC)
    elapsed_s = (until - redrive.started_at).total_seconds() if redrive.started_at else 0.0
    is_running = redrive.state == RedriveState.RUNNING
    left_s = (redrive.size - looked_at) / redrive.rate_per_s
    return Progress(
        looked_at=looked_at,
        size=redrive.size,
        percent=100 * looked_at // redrive.size,
        phase=_phase(redrive),
        rate=f"{looked_at / elapsed_s:.1f} a second" if elapsed_s and looked_at else "-",
        left=f"about {span(left_s)}" if is_running and left_s else "-",
    )


def _phase(redrive: Redrive) -> str:
    """Say what it does now."""
    if redrive.state == RedriveState.PROPOSED:
        return "waits for another person's approval"
    if redrive.state != RedriveState.RUNNING:
        return redrive.note
    if not redrive.canary_size or redrive.canary_passed_at:
        return "answers"
    if redrive.canary_sent_at is None:
        return "sends its canaries"
    return f"waits for {len(redrive.canary_jobs)} canaries to end"


@admin.register(Redrive)
class RedriveAdmin(PlanningAdmin):
    """The record of each, and its two actions: POST only, each with a permission of its own."""

    list_display = ("what", "answered", "requested", "approved", "asked", "state_badge")
    list_display_links = ("what",)
    list_filter = (StateFilter, QueueFilter)
    search_fields = ("requested_by__startswith", "reason")
    search_help_text = "Redrive id, who asked for it, or words of its reason"
    search_ids: ClassVar = {PREFIX: ("pk",)}
    ordering = ("-id",)
    fields = ("public",)
    readonly_fields = fields
    change_form_outer_before_template = "admin/jobs/redrive/standing.html"  # type: ignore[assignment]

    def name_of(self, redrive: Redrive) -> str:
        """What it does, and since when."""
        verb = VERBS[RedriveAction(redrive.action)]
        return f"{verb} {redrive.size:,}, {redrive.requested_at:%Y-%m-%d %H:%M}"

    # --- Permissions ---

    def has_approve_permission(self, request: HttpRequest) -> bool:
        """May this operator approve what another has asked for?"""
        return bool(request.user.has_perm("jobs.approve_redrive"))

    def has_abort_permission(self, request: HttpRequest) -> bool:
        """May this operator end a redrive?"""
        return bool(request.user.has_perm("jobs.abort_redrive"))

    # --- Decisions ---

    def get_urls(self) -> list[URLPattern]:
        """Add the actions, for POST only, and how the redrive stands."""
        wrap = self.admin_site.admin_view
        views = (
            ("approve", require_POST(self.approve_view)),
            ("abort", require_POST(self.abort_view)),
            ("standing", require_GET(self.standing_view)),
        )
        return [
            *(
                path(f"<uuid:object_id>/{name}/", wrap(view), name=f"jobs_redrive_{name}")
                for name, view in views
            ),
            *super().get_urls(),
        ]

    def approve_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Let it begin."""
        if not self.has_approve_permission(request):
            raise PermissionDenied
        act(request, lambda: self._approve(request, object_id))
        return self._back(object_id)

    def abort_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """End it."""
        if not self.has_abort_permission(request):
            raise PermissionDenied
        act(request, lambda: self._abort(request, object_id))
        return self._back(object_id)

    def _approve(self, request: HttpRequest, redrive_id: uuid.UUID) -> str:
        redrive = approve_redrive(redrive_id=redrive_id, actor=operator_of(request))
        return f"Approved: {redrive.size:,} dead letters are being answered."

    def _abort(self, request: HttpRequest, redrive_id: uuid.UUID) -> str:
        form = AbortForm(request.POST)
        reason = form.cleaned_data["reason"] if form.is_valid() else ""
        redrive = abort_redrive(redrive_id=redrive_id, actor=operator_of(request), reason=reason)
        return f"Aborted: {redrive.done:,} were answered, and no more will be."

    def _back(self, redrive_id: uuid.UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:jobs_redrive_change", args=[redrive_id]))

    # --- How it stands ---

    def standing_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Answer with how it stands now, for a page that is open already."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        redrive = get_object_or_404(Redrive, pk=object_id)
        context = {"original": redrive, **self.standing(request, redrive)}
        return TemplateResponse(request, "admin/jobs/redrive/parts.html", context)

    def standing(self, request: HttpRequest, redrive: Redrive) -> dict[str, Any]:
        """Return what the template shows of how a redrive stands."""
        is_proposed = redrive.state == RedriveState.PROPOSED
        is_over = not is_proposed and redrive.state != RedriveState.RUNNING
        is_own = redrive.requested_by == operator_of(request)
        return {
            "is_over": is_over,
            "is_own": is_own and is_proposed,
            "state_badge": self.state_badge(redrive),
            "progress": progress_of(redrive),
            "verb": DONE[redrive.action],
            "is_requeue": redrive.action == RedriveAction.REQUEUE,
            "facts": describe_filter(redrive.wanted),
            "job_link": subjects.link("job", redrive.job_id),
            "took": duration(redrive.started_at, redrive.ended_at),
            "may_approve": is_proposed and not is_own and self.has_approve_permission(request),
            "may_abort": not is_over and self.has_abort_permission(request),
        }

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add how it stands."""
        redrive: Redrive = context["original"]
        context.update(title=self.name_of(redrive), subtitle=None)
        context.update(self.standing(request, redrive))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Redrive", ordering="action", header=True)
    def what(self, redrive: Redrive) -> list[str]:
        """Which answer, and below it over which queue."""
        return [VERBS[RedriveAction(redrive.action)], redrive.queue or "all queues"]

    @display(description="Answered")
    def answered(self, redrive: Redrive) -> str:
        """How many of how many."""
        return f"{redrive.done:,} of {redrive.size:,}"

    @display(description="Asked by", ordering="requested_by")
    def requested(self, redrive: Redrive) -> str:
        """Who."""
        return redrive.requested_by

    @display(description="Approved by", ordering="approved_by")
    def approved(self, redrive: Redrive) -> str:
        """Who else."""
        return redrive.approved_by or ("-" if redrive.is_approval_needed else "not needed")

    @display(description="Asked", ordering="requested_at")
    def asked(self, redrive: Redrive) -> SafeString | str:
        """How long ago."""
        return moment(redrive.requested_at)

    @display(description="Id, and the correlation id of everything it does")
    def public(self, redrive: Redrive) -> SafeString | str:
        """Who answers its letters, as audit events know it."""
        return mono(actor_of(redrive))

    @display(description="State", ordering="state")
    def state_badge(self, redrive: Redrive) -> SafeString:
        """Where it stands."""
        return badge(redrive.state, TONES[redrive.state])
