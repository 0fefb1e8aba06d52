"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig


class CreditsConfig(AppConfig):
    """The credits app."""

    name = "credits"
    default_auto_field = "django.db.models.BigAutoField"
