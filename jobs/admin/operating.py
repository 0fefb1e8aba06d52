"""Run now, pause and resume: what an operator does to a schedule (W-12, D-06)."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from jobs.admin import subjects
from jobs.admin.acting import act, say_problems
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.models import Schedule
from jobs.services.schedules import pause_schedule, resume_schedule, run_schedule_now


class RunForm(forms.Form):
    """The click's own id: a form sent twice is one run."""

    click_id = forms.CharField(max_length=64)


class PauseForm(forms.Form):
    """Why a schedule is held."""

    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to pause a schedule."}
    )


class OperatingAdmin(ReadOnlyAdmin):
    """The actions: POST only, each with a permission of its own, each left to a service.

    They stand above a schedule's page, what became of its planned times below.
    """

    change_form_outer_before_template = "admin/jobs/schedule/actions.html"
    change_form_outer_after_template = "admin/jobs/schedule/runs.html"

    def has_run_permission(self, request: HttpRequest) -> bool:
        """May this operator ask for a run?"""
        return bool(request.user.has_perm("jobs.run_schedule"))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """May this operator pause and resume?"""
        return bool(request.user.has_perm("jobs.pause_schedule"))

    def get_urls(self) -> list[URLPattern]:
        """Add the actions; they exist for POST only."""
        views: dict[str, Callable[..., HttpResponse]] = {
            "run": self.run_view,
            "pause": self.pause_view,
            "resume": self.resume_view,
        }
        actions = [
            path(
                f"<int:object_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"jobs_schedule_{name}",
            )
            for name, view in views.items()
        ]
        return [*actions, *super().get_urls()]

    def run_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Insert a job of this schedule now."""
        if not self.has_run_permission(request):
            raise PermissionDenied
        form = RunForm(request.POST)
        if form.is_valid():
            name, click_id = self._name(object_id), form.cleaned_data["click_id"]
            act(request, lambda: self._run(request, name, click_id))
        else:
            say_problems(request, form)
        return self._to_page(object_id)

    def pause_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Run this schedule no more, for the reason given."""
        if not self.has_pause_permission(request):
            raise PermissionDenied
        form = PauseForm(request.POST)
        if form.is_valid():
            name, reason = self._name(object_id), form.cleaned_data["reason"]
            act(request, lambda: self._pause(request, name, reason))
        else:
            say_problems(request, form)
        return self._to_page(object_id)

    def resume_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Run this schedule again."""
        if not self.has_pause_permission(request):
            raise PermissionDenied
        name = self._name(object_id)
        act(request, lambda: self._resume(request, name))
        return self._to_page(object_id)

    def _run(self, request: HttpRequest, name: str, click_id: str) -> str:
        job = run_schedule_now(name=name, actor=operator_of(request), click_id=click_id)
        link = subjects.link("job", job.pk)
        return format_html("{} runs now, as {}. Its rhythm stays as it is.", name, link)

    def _pause(self, request: HttpRequest, name: str, reason: str) -> str:
        pause_schedule(name=name, actor=operator_of(request), reason=reason)
        return f"{name} is paused. What it passes over is recorded as missed when it is resumed."

    def _resume(self, request: HttpRequest, name: str) -> str:
        row = resume_schedule(name=name, actor=operator_of(request))
        return f"{name} is resumed; it runs next at {row.next_run_at:%Y-%m-%d %H:%M:%S} UTC."

    def _name(self, object_id: int) -> str:
        """What the services call it."""
        return get_object_or_404(Schedule, pk=object_id).name

    def _to_page(self, object_id: int) -> HttpResponse:
        """Back to the page the operator came from."""
        return HttpResponseRedirect(reverse("admin:jobs_schedule_change", args=[object_id]))
