"""App configuration."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class FlagshipConfig(AppConfig):
    """The flagship app."""

    name = "flagship"
    default_auto_field = "django.db.models.BigAutoField"
    # What requests may call: the first before it is known whose they are, the others as they are.
    tenant_functions: ClassVar[tuple[str, ...]] = (
        "flagship_find_caller",
        "flagship_confirm_caller",
        "flagship_claim_key",
        "flagship_claim_signed_key",
        "flagship_take_use",
        "flagship_key_is_held",
        "flagship_key_lock",
        "flagship_store_answer",
    )

    def ready(self) -> None:
        """Listen to the engine and to migrations, and register the system checks."""
        import_module("flagship.subscribers")
        groups = import_module("flagship.services.groups")
        # After Django's own receiver, which makes the permissions.
        post_migrate.connect(groups.sync_after_migrate, dispatch_uid="flagship.groups")
        import_module("flagship.checks")
