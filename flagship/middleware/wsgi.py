"""What has to happen before Django's WSGI handler, which reads headers before any middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.http import parse_header_parameters

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


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
