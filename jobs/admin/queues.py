"""Queues: how each is doing, and the two things an operator may do to one (W-17, D-06)."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import display

from jobs.admin.acting import act, say_problems
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import moment
from jobs.admin.overview.queues import queue_lines
from jobs.models import QueuePause
from jobs.services.pauses import pause_queue, resume_queue

LASTING: Final = {
    "": "until it is resumed",
    "900": "for 15 minutes",
    "3600": "for an hour",
    "14400": "for 4 hours",
    "86400": "for a day",
}


class PauseForm(forms.Form):
    """Why a queue is held, and for how long."""

    reason = forms.CharField(
        max_length=500,
        strip=True,
        error_messages={"required": "A reason is required to pause a queue."},
    )
    for_s = forms.TypedChoiceField(
        required=False, choices=list(LASTING.items()), coerce=float, empty_value=None
    )


@admin.register(QueuePause)
class QueuePauseAdmin(ReadOnlyAdmin):
    """The queues of the platform. They are the code's; a row here is a pause of one."""

    fields = ("queue", "paused", "paused_by", "reason", "resumes")
    readonly_fields = ("paused", "resumes")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """May this operator pause and resume?"""
        return bool(request.user.has_perm("jobs.pause_queue"))

    def get_urls(self) -> list[URLPattern]:
        """Add the numbers alone, and the actions, which exist for POST only."""
        wrap = self.admin_site.admin_view
        return [
            path("parts/", wrap(require_GET(self.parts_view)), name="jobs_queuepause_parts"),
            path(
                "<str:queue>/pause/",
                wrap(require_POST(self.pause_view)),
                name="jobs_queuepause_pause",
            ),
            path(
                "<str:queue>/resume/",
                wrap(require_POST(self.resume_view)),
                name="jobs_queuepause_resume",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show every queue."""
        context = {**self.admin_site.each_context(request), "title": "Queues", "opts": self.opts}
        return self._show(request, "queues", context)

    def parts_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the numbers, for a page that is open already."""
        return self._show(request, "parts", {})

    def _show(self, request: HttpRequest, name: str, context: dict[str, Any]) -> TemplateResponse:
        """Read every queue and show it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context |= {
            "lines": queue_lines(),
            "lasting": LASTING.items(),
            "may_pause": self.has_pause_permission(request),
        }
        return TemplateResponse(request, f"admin/jobs/queuepause/{name}.html", context)

    def pause_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """Pause a queue for the reason given."""
        if not self.has_pause_permission(request):
            raise PermissionDenied
        form = PauseForm(request.POST)
        if form.is_valid():
            act(request, lambda: self._pause(request, queue, form.cleaned_data))
        else:
            say_problems(request, form)
        return self._to_list()

    def resume_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """Let a queue go."""
        if not self.has_pause_permission(request):
            raise PermissionDenied
        act(request, lambda: self._resume(request, queue))
        return self._to_list()

    def _pause(self, request: HttpRequest, queue: str, given: dict[str, Any]) -> str:
        pause = pause_queue(queue=queue, actor=operator_of(request), **given)
        until = (
            f"until {pause.resume_at:%H:%M:%S} UTC" if pause.resume_at else "until it is resumed"
        )
        return f"{queue} is paused {until}. Jobs that run go on; no other begins."

    def _resume(self, request: HttpRequest, queue: str) -> str:
        resume_queue(queue=queue, actor=operator_of(request))
        return f"{queue} is resumed: its jobs begin within a second or so."

    def _to_list(self) -> HttpResponse:
        """Back to the queues."""
        return HttpResponseRedirect(reverse("admin:jobs_queuepause_changelist"))

    @display(description="Paused")
    def paused(self, pause: QueuePause) -> SafeString | str:
        """Since when."""
        return moment(pause.paused_at)

    @display(description="Ends")
    def resumes(self, pause: QueuePause) -> SafeString | str:
        """When it ends by itself."""
        return moment(pause.resume_at, empty="when it is resumed")
