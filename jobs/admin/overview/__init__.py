"""The first page: what an operator asks at three in the morning, kept fresh (D-07, W-17, O-03)."""

from __future__ import annotations

from jobs.admin.overview import letters, queues, schedules, telemetry, workers
from jobs.admin.overview.page import dashboard, show_parts

__all__ = [
    "dashboard",
    "letters",
    "queues",
    "schedules",
    "show_parts",
    "telemetry",
    "workers",
]
