"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig


class BuildsConfig(AppConfig):
    """The builds app."""

    name = "builds"
    default_auto_field = "django.db.models.BigAutoField"
