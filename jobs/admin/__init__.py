"""The operations console of the engine, one file per noun."""

from __future__ import annotations

from jobs.admin import failed_jobs, jobs, schedules

__all__ = ["failed_jobs", "jobs", "schedules"]
