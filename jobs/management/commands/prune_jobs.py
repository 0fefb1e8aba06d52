"""`manage.py prune_jobs`: delete jobs that ended long ago, now and not when the schedule says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from jobs.services.prune import Pruned, prune_jobs


class Command(BaseCommand):
    """Delete ended jobs with their attempts; safe beside running workers."""

    help = "Delete jobs that ended longer ago than JOB_RETENTION_DAYS, with their attempts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the age and whether to do it."""
        parser.add_argument(
            "--days",
            type=float,
            default=settings.JOB_RETENTION_DAYS,
            help="how long ago they ended (default: JOB_RETENTION_DAYS, now %(default)g)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete batch by batch."""
        dry_run = options["dry_run"]
        older_than = timedelta(days=options["days"])
        total = Pruned()
        for pruned in prune_jobs(older_than=older_than, dry_run=dry_run):
            total += pruned
        verb = "would be deleted" if dry_run else "deleted"
        self.stdout.write(
            f"{total.jobs} jobs, {total.attempts} attempts, {total.letters} dead letters {verb}"
        )
