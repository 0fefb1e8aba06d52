"""The engine's tables: PostgreSQL is the truth, Redis only rings."""

from __future__ import annotations

from jobs.models.attempt import JobAttempt
from jobs.models.failed_job import FailedJob
from jobs.models.job import Job
from jobs.models.queue_pause import QueuePause
from jobs.models.schedule import Schedule, ScheduleRun
from jobs.models.telemetry import TelemetryEvent
from jobs.models.worker import WorkerHeartbeat

__all__ = [
    "FailedJob",
    "Job",
    "JobAttempt",
    "QueuePause",
    "Schedule",
    "ScheduleRun",
    "TelemetryEvent",
    "WorkerHeartbeat",
]
