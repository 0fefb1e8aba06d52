"""The operations console of the engine, one file per noun."""

from __future__ import annotations

from jobs.admin import (
    failed_jobs,
    failure_groups,
    jobs,
    live,
    overview,
    queues,
    redrives,
    schedules,
    tombstones,
    workers,
)

__all__ = [
    "failed_jobs",
    "failure_groups",
    "jobs",
    "live",
    "overview",
    "queues",
    "redrives",
    "schedules",
    "tombstones",
    "workers",
]
