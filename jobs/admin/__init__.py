"""The operations console of the engine, one file per noun."""

from __future__ import annotations

from jobs.admin import jobs, schedules

__all__ = ["jobs", "schedules"]
