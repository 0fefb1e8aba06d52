"""`manage.py roll_up_analytics`: make the analytics anew, now and not when the schedule says."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from builds.selectors.rollups import first_day, list_days_due, today
from builds.services.rollups import roll_day


class Command(BaseCommand):
    """Roll up days from builds and ledger; safe beside the schedule and beside running builds."""

    help = "Roll up the days that may have changed, or with --since every day from that one on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where to begin."""
        parser.add_argument(
            "--since", type=date.fromisoformat, help="a day (UTC), as 2026-01-31: roll all from it"
        )
        parser.add_argument("--all", action="store_true", help="roll every day there is")

    def handle(self, *args: Any, **options: Any) -> None:
        """Roll day by day, in their order."""
        days = list_days_due()
        since = first_day() if options["all"] else options["since"]
        if since:
            days = [since + timedelta(days=n) for n in range((today() - since).days + 1)]
        for day in days:
            roll_day(day=day)
        self.stdout.write(f"{len(days)} days rolled up")
