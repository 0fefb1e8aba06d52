"""Recurring work of the engine itself."""

from __future__ import annotations

from jobs.payloads import CleanDeadLetters, FoldDeaths, PruneJobs
from jobs.registry import schedule

schedule("jobs.prune", PruneJobs(), cron="41 * * * *")
schedule("jobs.fold-deaths", FoldDeaths(), every_s=60)
schedule("jobs.clean-dead-letters", CleanDeadLetters(), cron="23 4 * * 1")
