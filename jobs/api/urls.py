"""Routes of jobs."""

from __future__ import annotations

from django.urls import URLPattern, path

from jobs.api.telemetry import TelemetryList, TelemetryStream
from jobs.api.views import JobDetail, JobList
from jobs.api.workers import WorkerHealthView

urlpatterns: list[URLPattern] = [
    path("api/jobs", JobList.as_view(), name="job-list"),
    path("api/jobs/<str:job_id>", JobDetail.as_view(), name="job-detail"),
    path("api/telemetry", TelemetryList.as_view(), name="telemetry-list"),
    path("api/telemetry/stream", TelemetryStream.as_view(), name="telemetry-stream"),
    path("api/worker/health", WorkerHealthView.as_view(), name="worker-health"),
]
