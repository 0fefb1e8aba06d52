"""A tiny app for drills: handlers whose effects can be counted."""

from __future__ import annotations

from django.apps import AppConfig


class DrillsConfig(AppConfig):
    """Installed by config.settings_test only."""

    name = "tests.drills"
    label = "drills"
    default_auto_field = "django.db.models.BigAutoField"
