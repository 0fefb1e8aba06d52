"""Where clients find things."""

from __future__ import annotations

import uuid

from django.conf import settings

from jobs.ids import public_id


def site_url(site_name: str) -> str:
    """Return the address of a project's live site."""
    return f"{settings.PUBLIC_URL}/sites/{site_name}/"


def version_url(site_name: str, build_id: uuid.UUID) -> str:
    """Return the address of what one build published; it stays when a later one is live."""
    return f"{site_url(site_name)}@{public_id('build', build_id)}/"


def build_url(build_id: uuid.UUID) -> str:
    """Return the address of a build."""
    return f"{settings.PUBLIC_URL}/v1/builds/{public_id('build', build_id)}"


def log_url(build_id: uuid.UUID) -> str:
    """Return the address of a build's log, page by page."""
    return f"{build_url(build_id)}/log"


def stream_path(build_id: uuid.UUID) -> str:
    """Return the path of a build's log as it is written."""
    return f"/v1/streams/builds/{public_id('build', build_id)}/log"


def stream_url(build_id: uuid.UUID) -> str:
    """Return the address of a build's log as it is written, on the process that streams."""
    return f"{settings.STREAMS_URL}{stream_path(build_id)}"
