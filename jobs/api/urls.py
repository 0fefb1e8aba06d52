"""Routes of jobs."""

from __future__ import annotations

from django.urls import URLPattern, path

from jobs.api.queues import QueueList, QueuePauseView, QueueResumeView
from jobs.api.telemetry import TelemetryList, TelemetryStream
from jobs.api.views import JobDetail, JobKinds, JobList
from jobs.api.workers import WorkerHealthView

urlpatterns: list[URLPattern] = [
    path("api/jobs", JobList.as_view(), name="job-list"),
    path("api/jobs/kinds", JobKinds.as_view(), name="job-kinds"),
    path("api/jobs/<str:job_id>", JobDetail.as_view(), name="job-detail"),
    path("api/queues", QueueList.as_view(), name="queue-list"),
    path("api/queues/<str:queue>/pause", QueuePauseView.as_view(), name="queue-pause"),
    path("api/queues/<str:queue>/resume", QueueResumeView.as_view(), name="queue-resume"),
    path("api/telemetry", TelemetryList.as_view(), name="telemetry-list"),
    path("api/telemetry/stream", TelemetryStream.as_view(), name="telemetry-stream"),
    path("api/worker/health", WorkerHealthView.as_view(), name="worker-health"),
]
