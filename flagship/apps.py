"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig


class FlagshipConfig(AppConfig):
    """The flagship app."""

    name = "flagship"
    default_auto_field = "django.db.models.BigAutoField"
