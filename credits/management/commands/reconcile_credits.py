"""manage.py reconcile_credits: prove the ledger from its entries, now."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from credits.services import Reconciled, reconcile
from jobs.ids import MalformedId, parse_public_id


class Command(BaseCommand):
    """Proves every account, freezes those that drift, writes the statements that are due."""

    help = "Prove the ledger from its entries; freeze accounts that drift. Exit code 1 on drift."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--organization", metavar="ORG_ID", help="Prove this one only.")
        parser.add_argument("--json", action="store_true", help="One JSON object, nothing else.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prove and tell."""
        wanted = options["organization"]
        try:
            organization_id = parse_public_id("org", wanted) if wanted else None
        except MalformedId as error:
            raise CommandError(str(error)) from error
        found = reconcile(organization_id=organization_id)
        self.stdout.write(json.dumps(found.to_json()) if options["json"] else _describe(found))
        if not found.holds:
            raise SystemExit(1)


def _describe(found: Reconciled) -> str:
    lines = [f"{found.accounts} accounts proved in {found.took_s:.1f} s"]
    for organization_id, findings in found.drifting.items():
        lines.append(f"{organization_id} drifts:")
        lines += [
            f"  {each.rule} {each.subject}: {each.expected} by its entries, {each.found} found"
            for each in findings
        ]
    lines += [f"statement of {day} written" for day in found.stated]
    lines += [f"statement of {problem}" for problem in found.broken_statements]
    lines.append("no drift" if found.holds else "DRIFT")
    return "\n".join(lines)
