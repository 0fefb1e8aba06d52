"""Keep the work directory clean."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from builds.clients import storage

GRACE_S: Final = 3600.0


def sweep_workspaces() -> int:
    """Remove workspaces and drafts that no run of today can still be using; return how many."""
    return storage.sweep_workspaces(older_than_s=settings.BUILD_TIMEOUT_S + GRACE_S)
