"""`manage.py rebuild_queues`: fill Redis again with the doorbells that PostgreSQL knows of."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from jobs.queues import QUEUES
from jobs.services.rebuild import Rebuilt, rebuild_queue


class Command(BaseCommand):
    """Push the doorbells that are missing; safe beside running workers and schedulers."""

    help = "Push every doorbell that queued jobs need and Redis does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the queues and what may be done to them."""
        parser.add_argument("queue", nargs="*", help="queues to rebuild; all when none is named")
        parser.add_argument(
            "--empty", action="store_true", help="throw away what the queues hold first"
        )
        parser.add_argument("--dry-run", action="store_true", help="count, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild queue by queue."""
        queues = options["queue"] or list(QUEUES)
        unknown = [name for name in queues if name not in QUEUES]
        if unknown:
            raise CommandError(
                f"no such queue: {', '.join(unknown)}; there are {', '.join(QUEUES)}"
            )
        for name in queues:
            try:
                done = rebuild_queue(queue=name, empty=options["empty"], dry_run=options["dry_run"])
            except RedisError as error:
                raise CommandError(f"{name}: Redis: {error}; run it again") from error
            self._say(done, options["dry_run"])

    def _say(self, done: Rebuilt, dry_run: bool) -> None:
        said = f"{done.queue}: {done.queued} queued, {done.present} there"
        said += f", {done.missing} {'missing' if dry_run else 'pushed'}"
        if done.cleared:
            said += f", {done.cleared} cleared"
        self.stdout.write(said)
