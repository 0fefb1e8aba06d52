"""Recurring work, from a table: once per period with any number of schedulers (W-12)."""

from __future__ import annotations

from jobs.services.schedules.history import prune_schedule_runs
from jobs.services.schedules.operate import pause_schedule, resume_schedule, run_schedule_now
from jobs.services.schedules.run import run_due_schedules
from jobs.services.schedules.sync import sync_schedules

__all__ = [
    "pause_schedule",
    "prune_schedule_runs",
    "resume_schedule",
    "run_due_schedules",
    "run_schedule_now",
    "sync_schedules",
]
