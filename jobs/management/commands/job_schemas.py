"""`manage.py job_schemas`: the JSON Schema of every payload, the internal kinds' too (W-03)."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.registry import all_handlers
from jobs.selectors.kinds import payload_schema


class Command(BaseCommand):
    """Print one JSON object: schemas by kind."""

    help = "Print the JSON Schema of every kind of job, or of those named."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take kinds."""
        parser.add_argument("kinds", nargs="*", metavar="KIND")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them."""
        schemas = {handler.kind: payload_schema(handler) for handler in all_handlers()}
        unknown = sorted(set(options["kinds"]) - schemas.keys())
        if unknown:
            raise CommandError(f"no such kind: {', '.join(unknown)}")
        wanted = options["kinds"] or list(schemas)
        self.stdout.write(json.dumps({kind: schemas[kind] for kind in wanted}, indent=2))
