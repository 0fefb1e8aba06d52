"""What browsers are told about every answer: what its page may load, run, send and ask for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from flagship.errors.envelope import speaks_json

POLICY: Final = "Content-Security-Policy"
# Data, downloads, refusals: shown as a page they may do nothing.
NOTHING: Final = (
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
FEATURES: Final = (
    *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation"),
    *("gyroscope", "magnetometer", "microphone", "midi", "payment", "screen-wake-lock"),
    *("serial", "usb", "xr-spatial-tracking"),
)
HEADERS: Final = {
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES),
    "Cross-Origin-Resource-Policy": "same-origin",
    # Of old browsers; Django's own does not see what the middleware above it answers.
    "X-Frame-Options": "DENY",
}
# A host as a policy can name it: IPv6 literals are not in its grammar.
_NAMEABLE: Final = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?")

Response = HttpResponseBase
GetResponse = Callable[[HttpRequest], Response | Awaitable[Response]]


class BrowserMiddleware:
    """Gives every answer a Content-Security-Policy, and takes devices from every page.

    A page may load scripts, styles, fonts and pictures from the static files alone: nothing inline,
    nothing evaluated, and nothing from /sites/, where strangers publish on this origin. An answer
    that brings a policy of its own (a published site) keeps it. Works under WSGI and ASGI.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        """Answer the request, with the rules."""
        if self.is_async:
            return self._answer_async(request)
        return with_rules(request, cast(Response, self.get_response(request)))

    async def _answer_async(self, request: HttpRequest) -> Response:
        return with_rules(request, await cast(Awaitable[Response], self.get_response(request)))


def with_rules(request: HttpRequest, response: Response) -> Response:
    """Add the headers that the response does not have."""
    if not response.has_header(POLICY):
        rules = page_rules(_place_of(request)) if _is_page(request, response) else NOTHING
        response.headers[POLICY] = "; ".join((*rules, *_reporting()))
    for header, value in HEADERS.items():
        response.headers.setdefault(header, value)
    return response


@lru_cache(maxsize=64)
def page_rules(place: str) -> tuple[str, ...]:
    """Return what a page may do. `place`: our own host, or 'self' where none can be named.

    With the host the rules can name paths, and so leave out the published sites.
    """
    if place == "'self'":
        static = translations = place
    else:
        static = f"{place}{settings.STATIC_URL}"
        translations = f"{place}{reverse('admin:jsi18n')}"
    return (
        "default-src 'none'",
        f"script-src {static} {translations}",
        f"style-src {static}",
        f"font-src {static}",
        f"img-src {static} data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )


def _is_page(request: HttpRequest, response: Response) -> bool:
    """Tell whether people see it; an error of the API becomes the envelope further out."""
    is_enveloped = response.status_code >= 400 and speaks_json(request.path_info)
    is_html = response.headers.get("Content-Type", "").startswith("text/html")
    return is_html and not is_enveloped


def _place_of(request: HttpRequest) -> str:
    try:
        host = request.get_host()
    except DisallowedHost:
        return "'self'"
    return host if _NAMEABLE.fullmatch(host) else "'self'"


def _reporting() -> tuple[str, ...]:
    return (f"report-uri {settings.CSP_REPORT_URL}",) if settings.CSP_REPORT_URL else ()
