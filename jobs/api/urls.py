"""Routes of jobs."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from jobs.api.dead_letters import (
    DeadLetterCleanup,
    DeadLetterDiscard,
    DeadLetterList,
    DeadLetterRequeue,
    DeadLetterSummary,
)
from jobs.api.queues import QueueList, QueuePauseView, QueueResumeView
from jobs.api.telemetry import TelemetryList, TelemetryStream
from jobs.api.views import JobDetail, JobKinds, JobList
from jobs.api.workers import WorkerHealthView

ROUTES: list[URLPattern] = [
    path("jobs", JobList.as_view(), name="job-list"),
    path("jobs/kinds", JobKinds.as_view(), name="job-kinds"),
    path("jobs/<str:job_id>", JobDetail.as_view(), name="job-detail"),
    path("queues", QueueList.as_view(), name="queue-list"),
    path("queues/<str:queue>/pause", QueuePauseView.as_view(), name="queue-pause"),
    path("queues/<str:queue>/resume", QueueResumeView.as_view(), name="queue-resume"),
    path("telemetry", TelemetryList.as_view(), name="telemetry-list"),
    path("telemetry/stream", TelemetryStream.as_view(), name="telemetry-stream"),
    path("worker/health", WorkerHealthView.as_view(), name="worker-health"),
]
# What no seed had a path for: under the new ones alone.
DEAD_LETTERS: list[URLPattern] = [
    path("dead-letters", DeadLetterList.as_view(), name="dead-letter-list"),
    path("dead-letters/summary", DeadLetterSummary.as_view(), name="dead-letter-summary"),
    path("dead-letters/cleanup", DeadLetterCleanup.as_view(), name="dead-letter-cleanup"),
    path(
        "dead-letters/<str:letter_id>/requeue",
        DeadLetterRequeue.as_view(),
        name="dead-letter-requeue",
    ),
    path(
        "dead-letters/<str:letter_id>/discard",
        DeadLetterDiscard.as_view(),
        name="dead-letter-discard",
    ),
]
urlpatterns: list[URLResolver] = [
    path("v1/", include([*ROUTES, *DEAD_LETTERS])),
    # Where the seeds have them; the edge adds who their successors are.
    path("api/", include((ROUTES, "old"))),
]
