"""`manage.py write_error_catalogue`: write docs/errors.md from the refusals in the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from flagship.errors.catalogue import catalogue_page


class Command(BaseCommand):
    """Write the catalogue of errors."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Write."""
        page = Path(settings.BASE_DIR) / "docs" / "errors.md"
        page.write_text(catalogue_page(), encoding="utf-8")
        self.stdout.write(str(page))
