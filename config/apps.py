"""Django's admin, whose pages are loaded only where they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class ConsoleConfig(SimpleAdminConfig):
    """The admin app without its look into every app for pages, a fifth of each process' start.

    `config.urls` looks for them, and so does the check of them: workers, schedulers and commands
    show none.
    """

    def ready(self) -> None:
        """Register the checks of the pages."""
        register(check_dependencies, Tags.admin)
        register(check_pages, Tags.admin)


def check_pages(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """Check every page, after loading all of them."""
    admin.autodiscover()
    return list(check_admin_app(app_configs, **options))
