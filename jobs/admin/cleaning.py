"""Cleaning up old dead letters by hand: look first, then start a job that does it (D-04)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from jobs.admin import subjects
from jobs.admin.answers import REASON_CHARACTERS
from jobs.admin.base import operator_of
from jobs.admin.editing import EditingAdmin
from jobs.services.cleanup import foresee_cleanup, start_cleanup


class DaysForm(forms.Form):
    """How old a letter is to be."""

    days = forms.FloatField(
        min_value=1, max_value=3650, error_messages={"required": "How many days, 1 to 3650?"}
    )


class CleanForm(DaysForm):
    """How old, and why."""

    reason = forms.CharField(
        max_length=REASON_CHARACTERS,
        error_messages={"required": "A reason is required to clean up."},
    )


class CleaningAdmin(EditingAdmin):
    """The page is a dry run; its button enqueues the job that the weekly schedule runs too."""

    def has_clean_permission(self, request: HttpRequest) -> bool:
        """May this operator clean up?"""
        return bool(request.user.has_perm("jobs.clean_failedjob"))

    def get_urls(self) -> list[URLPattern]:
        """Add the page, and what its button does, which exists for POST only."""
        wrap = self.admin_site.admin_view
        look, clean = require_safe(self.cleanup_view), require_POST(self.clean_view)
        return [
            path("cleanup/", wrap(look), name="jobs_failedjob_cleanup"),
            path("cleanup/clean/", wrap(clean), name="jobs_failedjob_clean"),
            *super().get_urls(),
        ]

    def cleanup_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a cleanup would delete and what it would keep; nothing is changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = DaysForm(
            {"days": request.GET.get("days", f"{settings.DEAD_LETTER_RETENTION_DAYS:g}")}
        )
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Clean up dead letters",
            "opts": self.opts,
            "form": form,
            "may_clean": self.has_clean_permission(request),
            **(_foreseen(form.cleaned_data["days"]) if form.is_valid() else {}),
        }
        return TemplateResponse(request, "admin/jobs/failedjob/cleanup.html", context)

    def clean_view(self, request: HttpRequest) -> HttpResponse:
        """Start the job that deletes them."""
        if not self.has_clean_permission(request):
            raise PermissionDenied
        form = CleanForm(request.POST)
        back = HttpResponseRedirect(reverse("admin:jobs_failedjob_cleanup"))
        if not form.is_valid():
            for problems in form.errors.values():
                messages.error(request, f"Nothing done: {problems[0]}")
            return back
        job = start_cleanup(actor=operator_of(request), **form.cleaned_data)
        link = subjects.link("job", job.id)
        messages.success(request, format_html("The cleanup has been started: {}.", link))
        return back


def _foreseen(days: float) -> dict[str, Any]:
    """Describe the dry run."""
    groups = foresee_cleanup(older_than=timedelta(days=days))
    going = [group for group in groups if group.goes]
    kept = [group for group in groups if not group.goes]
    return {
        "days": days,
        "going": going,
        "kept": kept,
        "going_letters": sum(group.letters for group in going),
        "kept_letters": sum(group.letters for group in kept),
    }
