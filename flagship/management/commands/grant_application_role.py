"""`manage.py grant_application_role ROLE`: run as the owner, after each migration."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from flagship.services.roles import grant_application_role


class Command(BaseCommand):
    """Give a role what the running system needs, and take everything else away."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the role's name."""
        parser.add_argument("role")

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant."""
        try:
            granted = grant_application_role(role=options["role"])
        except Error as error:
            raise CommandError(f"nothing was granted: {error}") from error
        self.stdout.write(
            f"{options['role']}: {granted.ordinary} tables to write, "
            f"{granted.append_only} to append to, {granted.read_only} to read"
        )
