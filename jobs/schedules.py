"""Recurring work of the engine itself."""

from __future__ import annotations

from jobs.payloads import PruneJobs
from jobs.registry import schedule

schedule("jobs.prune", PruneJobs(), cron="41 * * * *")
