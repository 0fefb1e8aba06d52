"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    """The jobs app."""

    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Disarm RQ in this process; find the handlers and schedules of every app."""
        from jobs import checks  # noqa: F401 (registers the system checks)
        from jobs.worker.doorbell import harden

        harden()
        autodiscover_modules("handlers", "schedules")
