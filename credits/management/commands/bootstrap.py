"""manage.py bootstrap: an organization that can work at once."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from credits.services import Bootstrapped, bootstrap


class Command(BaseCommand):
    """Creates an organization with credits, an API key and, once, an admin user."""

    help = "Create an organization with credits and an API key and, once, an admin; print them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--organization", required=True, metavar="NAME")
        parser.add_argument("--credits", type=int, default=1000, help="Initial grant.")
        parser.add_argument("--json", action="store_true", help="One JSON object, nothing else.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them and print them."""
        try:
            made = bootstrap(name=options["organization"], amount_credits=options["credits"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        told = _describe(made)
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write("\n".join(f"{name}: {value}" for name, value in told.items()))


def _describe(made: Bootstrapped) -> dict[str, Any]:
    password = made.admin_password
    return {
        "organizationId": str(made.organization_id),
        "apiKey": made.api_key,
        "admin": {"username": "admin", "password": password} if password else None,
        "credits": made.available_credits,
        "adminUrl": f"{settings.PUBLIC_URL.rstrip('/')}/admin/",
    }
