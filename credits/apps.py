"""App configuration."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.apps import AppConfig


class CreditsConfig(AppConfig):
    """The credits app."""

    name = "credits"
    default_auto_field = "django.db.models.BigAutoField"
    # Functions of the owner's that requests of clients may call: each asks whose they are.
    tenant_functions: ClassVar[tuple[str, ...]] = (
        "credits_reserve",
        "credits_commit_reservation",
        "credits_release_reservation",
    )

    def ready(self) -> None:
        """Tell the platform what keys have made."""
        import_module("credits.subscribers")
