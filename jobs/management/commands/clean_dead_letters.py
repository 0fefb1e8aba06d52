"""`manage.py clean_dead_letters`: delete old dead letters that nobody will answer any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.errors import ReasonRequired
from jobs.services.cleanup import clean_dead_letters, foresee_cleanup


class Command(BaseCommand):
    """Delete open letters of acknowledged failure groups; safe beside running workers."""

    help = "Delete open dead letters older than DEAD_LETTER_RETENTION_DAYS, of acknowledged groups."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the age, the reason and whether to do it."""
        parser.add_argument(
            "--days",
            type=float,
            default=settings.DEAD_LETTER_RETENTION_DAYS,
            help="how long ago they died (default: DEAD_LETTER_RETENTION_DAYS, now %(default)g)",
        )
        parser.add_argument("--reason", default="", help="why; kept with each tombstone's event")
        parser.add_argument("--dry-run", action="store_true", help="list, delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say what would go, or delete batch by batch."""
        older_than = timedelta(days=options["days"])
        if options["dry_run"]:
            self._foresee(older_than)
            return
        try:
            deleted = sum(
                clean_dead_letters(older_than=older_than, actor="command", reason=options["reason"])
            )
        except ReasonRequired:
            raise CommandError("say why with --reason, or look first with --dry-run") from None
        self.stdout.write(f"{deleted} dead letters deleted")

    def _foresee(self, older_than: timedelta) -> None:
        """List each group that has old letters, and what would become of them."""
        groups = foresee_cleanup(older_than=older_than)
        for group in groups:
            why = f"acknowledged by {group.acknowledged_by}" if group.goes else "not acknowledged"
            verb = "would be deleted" if group.goes else "kept"
            self.stdout.write(
                f"{group.letters} of {group.kind} {group.error_class} ({group.fingerprint})"
                f" {verb}: {why}"
            )
        going = sum(group.letters for group in groups if group.goes)
        kept = sum(group.letters for group in groups) - going
        self.stdout.write(f"{going} dead letters would be deleted, {kept} kept")
