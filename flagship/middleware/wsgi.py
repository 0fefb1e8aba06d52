"""Django's WSGI handler, and what comes before it: it reads headers before any middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.urls import ResolverMatch
from django.utils.http import parse_header_parameters

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Handler(WSGIHandler):
    """Django's, which looks for no route that a middleware has found already."""

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the request's route. Raises: django.urls.Resolver404."""
        return request.resolver_match or super().resolve_request(request)


class ReadableContentType:
    """Hands on a Content-Type that Django cannot read as empty: no route reads such a body (415).

    Django's request would fail at it before there is anything that could answer.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on."""
        if not is_readable(environ.get("CONTENT_TYPE", "")):
            environ["CONTENT_TYPE"] = ""
        return self.application(environ, start_response)


def is_readable(content_type: str) -> bool:
    """Tell whether Django can read it: a parameter in an unknown encoding it cannot."""
    try:
        parse_header_parameters(content_type)
    except ValueError:
        return False
    return True
