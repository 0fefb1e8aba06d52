"""Paths that have successors say so (RFC 9745, RFC 8594)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.http import http_date

from flagship.middleware.routes import OLD_PREFIX, current, route_of

DOCUMENTATION: Final = "/v1/docs"


class OldPathsMiddleware:
    """Adds Deprecation, Sunset and a Link to the successor to every answer of an old path.

    Nothing else differs from what the successor answers: both are one route to one view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, with the three headers where its path is an old one."""
        response = self.get_response(request)
        if request.path_info.startswith(OLD_PREFIX) and route_of(request) is not None:
            response.headers["Deprecation"] = f"@{_seconds(settings.OLD_PATHS_DEPRECATED_AT)}"
            response.headers["Sunset"] = http_date(_seconds(settings.OLD_PATHS_SUNSET_AT))
            response.headers["Link"] = (
                f'<{current(request.get_full_path())}>; rel="successor-version", '
                f'<{DOCUMENTATION}>; rel="deprecation"; type="text/html"'
            )
        return response


def _seconds(moment: datetime) -> int:
    """Return seconds since 1970."""
    return int(moment.timestamp())
