"""Cancel a job that waits, stop one that runs, and see which of the two it was (W-15, D-06)."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST

from jobs.admin.acting import act
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.standing import standing_of
from jobs.models import Job
from jobs.services.cancel import cancel_job
from jobs.states import JobState


class StoppingAdmin(ReadOnlyAdmin):
    """The action: POST only, with a permission of its own, left to a service.

    Above the job's page stands how it is, kept fresh: whoever stops a job sees it confirmed.
    """

    change_form_outer_before_template = "admin/jobs/job/standing.html"

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """May this operator cancel and stop?"""
        return bool(request.user.has_perm("jobs.cancel_job"))

    def get_urls(self) -> list[URLPattern]:
        """Add the action, and how the job stands."""
        wrap = self.admin_site.admin_view
        return [
            path(
                "<uuid:object_id>/cancel/",
                wrap(require_POST(self.cancel_view)),
                name="jobs_job_cancel",
            ),
            path(
                "<uuid:object_id>/standing/",
                wrap(require_GET(self.standing_view)),
                name="jobs_job_standing",
            ),
            *super().get_urls(),
        ]

    def cancel_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Cancel this job, or ask its worker to stop it."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        act(request, lambda: self._cancel(request, object_id))
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[object_id]))

    def standing_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Answer with how it stands now, for a page that is open already."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = get_object_or_404(Job.objects.defer("payload"), pk=object_id)
        return TemplateResponse(request, "admin/jobs/job/parts.html", self.standing(request, job))

    def standing(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """Return how a job stands, and whether this operator may stop it."""
        stands = standing_of(job)
        can_be = not stands["is_over"] and not stands["is_asked"]
        return {**stands, "may_cancel": can_be and self.has_cancel_permission(request)}

    def _cancel(self, request: HttpRequest, job_id: uuid.UUID) -> str:
        job = cancel_job(job_id=job_id, actor=operator_of(request))
        if job.state == JobState.CANCELLED:
            return f"{job.kind} is cancelled: it had not begun, and never will."
        return f"{job.kind} was asked to stop. Its worker confirms within a second or so, below."
