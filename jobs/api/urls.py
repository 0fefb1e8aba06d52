"""Routes of jobs."""

from __future__ import annotations

from django.urls import URLPattern, path

from jobs.api.views import JobDetail, JobList

urlpatterns: list[URLPattern] = [
    path("api/jobs", JobList.as_view(), name="job-list"),
    path("api/jobs/<str:job_id>", JobDetail.as_view(), name="job-detail"),
]
