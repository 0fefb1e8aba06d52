"""Requeue and discard: an operator's answers to one dead letter or many (D-03, D-04, D-06)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from jobs.admin.answers import BULK_LIMIT, ReasonForm, answer_each, say, say_too_many
from jobs.admin.base import operator_of
from jobs.admin.exporting import ExportingAdmin
from jobs.errors import Refusal
from jobs.models import FailedJob
from jobs.services.dead_letters import discard, requeue


class AnsweringAdmin(ExportingAdmin):
    """The answers: POST only, each with a permission of its own, each left to a service.

    The service locks the row, refuses one that is not open, and sends the signal that becomes the
    audit event in its own transaction. Nothing is written here.
    """

    actions = ("requeue_selected", "discard_selected")
    list_after_template = "admin/jobs/failedjob/list_note.html"  # type: ignore[assignment]
    change_form_outer_before_template = "admin/jobs/failedjob/letter.html"  # type: ignore[assignment]

    # --- Permissions ---

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """May this operator requeue?"""
        return bool(request.user.has_perm("jobs.requeue_failedjob"))

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """May this operator discard?"""
        return bool(request.user.has_perm("jobs.discard_failedjob"))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the list, and say how many one action takes."""
        return super().changelist_view(request, {**(extra_context or {}), "bulk_limit": BULK_LIMIT})

    # --- Answers to one ---

    def get_urls(self) -> list[URLPattern]:
        """Add the answers; they exist for POST only."""
        wrap = self.admin_site.admin_view
        return [
            path(
                "<int:object_id>/requeue/",
                wrap(require_POST(self.requeue_view)),
                name="jobs_failedjob_requeue",
            ),
            path(
                "<int:object_id>/discard/",
                wrap(require_POST(self.discard_view)),
                name="jobs_failedjob_discard",
            ),
            *super().get_urls(),
        ]

    def requeue_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Requeue this dead letter."""
        if not self.has_requeue_permission(request):
            raise PermissionDenied
        return self._answer(request, object_id, partial(requeue, actor=operator_of(request)))

    def discard_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Discard this dead letter for the reason given."""
        if not self.has_discard_permission(request):
            raise PermissionDenied
        form = ReasonForm(request.POST)
        if not form.is_valid():
            messages.error(request, str(form.errors["reason"][0]))
            return self._to_letter(request, object_id)
        reason = form.cleaned_data["reason"]
        answer = partial(discard, actor=operator_of(request), reason=reason)
        return self._answer(request, object_id, answer)

    def _answer(
        self, request: HttpRequest, object_id: int, answer: Callable[..., Any]
    ) -> HttpResponse:
        """Give the answer; go on to the list when it was taken, back to the letter when not."""
        try:
            answer(failed_job_id=object_id)
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
            return self._to_letter(request, object_id)
        letter = FailedJob.objects.only("kind", "state").get(pk=object_id)
        href = reverse("admin:jobs_failedjob_change", args=[object_id])
        link = format_html('<a class="fs-link" href="{}">{}</a>', href, letter.kind)
        messages.success(request, format_html("Dead letter of {} {}.", link, letter.state))
        return self._redirect(request, reverse("admin:jobs_failedjob_changelist"))

    def _to_letter(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Back to the page the operator came from."""
        return self._redirect(request, reverse("admin:jobs_failedjob_change", args=[object_id]))

    def _redirect(self, request: HttpRequest, url: str) -> HttpResponse:
        """Go there with the filters the operator had set."""
        preserved: dict[str, Any] = {
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
        }
        return HttpResponseRedirect(add_preserved_filters(preserved, url))

    # --- Answers to many ---

    @admin.action(description="Retry (requeue) the selected dead letters", permissions=["requeue"])
    def requeue_selected(
        self, request: HttpRequest, queryset: QuerySet[FailedJob]
    ) -> HttpResponse | None:
        """Requeue each selected one that is open."""
        ids = self._selected(request, queryset)
        if ids:
            give = partial(requeue, actor=operator_of(request))
            say(request, answer_each(ids, lambda pk: give(failed_job_id=pk)), "requeued")
        return None

    @admin.action(description="Discard the selected dead letters…", permissions=["discard"])
    def discard_selected(
        self, request: HttpRequest, queryset: QuerySet[FailedJob]
    ) -> HttpResponse | None:
        """Ask for a reason, then discard each selected one that is open."""
        ids = self._selected(request, queryset)
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if ids and not form.is_valid():
            return self._ask_reason(request, ids, form)
        if ids:
            reason = form.cleaned_data["reason"]
            give = partial(discard, actor=operator_of(request), reason=reason)
            say(request, answer_each(ids, lambda pk: give(failed_job_id=pk)), "discarded")
        return None

    def _selected(self, request: HttpRequest, queryset: QuerySet[FailedJob]) -> list[int]:
        """Ids of the selection, oldest first; none, with a message, when there are too many."""
        if request.POST.get("select_across") != "1":
            # As posted: one that has left the filter meanwhile is counted as skipped.
            posted = [pk for pk in request.POST.getlist(ACTION_CHECKBOX_NAME) if pk.isdecimal()]
            queryset = FailedJob.objects.filter(pk__in=posted)
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: BULK_LIMIT + 1])
        if len(ids) <= BULK_LIMIT:
            return ids
        say_too_many(request)
        return []

    def _ask_reason(self, request: HttpRequest, ids: list[int], form: ReasonForm) -> HttpResponse:
        """Show the form for the reason; it sends back the ids seen now, not the filter."""
        letters = FailedJob.objects.filter(pk__in=ids).only("kind", "error_class", "state")
        context = {
            **self.admin_site.each_context(request),
            "title": "Discard dead letters",
            "opts": self.opts,
            "ids": ids,
            "count": len(ids),
            "letters": letters[:20],
            "form": form,
        }
        return TemplateResponse(request, "admin/jobs/failedjob/discard_selected.html", context)
