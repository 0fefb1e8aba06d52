"""The engine's tables: PostgreSQL is the truth, Redis only rings."""

from __future__ import annotations

from jobs.models.attempt import JobAttempt
from jobs.models.failed_job import FailedJob
from jobs.models.failure_group import FailureDelta, FailureGroup, FailureHour
from jobs.models.job import Job
from jobs.models.queue_pause import QueuePause
from jobs.models.redrive import Redrive
from jobs.models.schedule import Schedule, ScheduleRun
from jobs.models.telemetry import TelemetryEvent
from jobs.models.tombstone import LetterTombstone
from jobs.models.worker import WorkerHeartbeat

__all__ = [
    "FailedJob",
    "FailureDelta",
    "FailureGroup",
    "FailureHour",
    "Job",
    "JobAttempt",
    "LetterTombstone",
    "QueuePause",
    "Redrive",
    "Schedule",
    "ScheduleRun",
    "TelemetryEvent",
    "WorkerHeartbeat",
]
