"""How much of a body is read at all."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.requests import (
    LengthRequired,
    MalformedRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from flagship.middleware.routes import is_api, route_of
from jobs.errors import Refusal

JSON_BYTES = 1024 * 1024


class BodyLimitMiddleware:
    """Refuses a body by its stated length, before a byte of it is read (P31).

    1 MiB, unless the view states another `body_limit_bytes`. A body without a length is refused
    (411) and so is a coded one (415), whose real size nobody knows.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let the request on, or refuse it."""
        refusal = refusal_of_body(request) if is_api(request) else None
        return self.get_response(request) if refusal is None else answer(refusal)


def refusal_of_body(request: HttpRequest) -> Refusal | None:
    """Return why the body may not be read, None where it may."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if "Transfer-Encoding" in request.headers and length == "0":
        return LengthRequired()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return UnsupportedMediaType("A body with a Content-Encoding is not read.")
    if not (length.isascii() and length.isdigit()):
        return MalformedRequest("Content-Length is not a number.")
    if int(length[:20]) <= JSON_BYTES:
        return None
    route = route_of(request)
    limit = int(getattr(route and route.view, "body_limit_bytes", JSON_BYTES))
    return PayloadTooLarge(limit) if int(length[:20]) > limit else None
