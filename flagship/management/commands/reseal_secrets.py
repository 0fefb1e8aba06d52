"""`manage.py reseal_secrets`: after a new first key in ENCRYPTION_KEYS, before the old one goes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flagship.clients.vault import CannotUnseal
from flagship.services.signing_keys import reseal_secrets


class Command(BaseCommand):
    """Encrypt every stored secret anew."""

    help = "Encrypt every signing secret anew with the first key of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it row by row."""
        try:
            count = reseal_secrets()
        except CannotUnseal as error:
            raise CommandError(f"{error}: is the key it was sealed with in the list?") from error
        self.stdout.write(f"{count} secrets are sealed with the first key")
