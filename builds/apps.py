"""App configuration."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class BuildsConfig(AppConfig):
    """The builds app."""

    name = "builds"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to the engine."""
        import_module("builds.subscribers")
