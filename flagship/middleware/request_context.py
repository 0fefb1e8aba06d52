"""The outermost layer: ids, timing, the four headers, and the last word on errors."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import quote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from flagship.errors.envelope import answer, bind_media_type, is_answer, speaks_json
from flagship.errors.translate import refusal_for, refusal_for_status
from jobs.ids import new_id, public_id
from jobs.trace import Trace, bind_trace

logger = logging.getLogger("flagship.requests")

# Safe in a header, in a log line and in the engine's columns, which hold 100 characters.
ID_SHAPE = re.compile(r"[A-Za-z0-9._:@/+=~-]{1,100}")
KEPT_HEADERS = (
    *("Allow", "Retry-After", "WWW-Authenticate"),
    # What browsers are told (BrowserMiddleware, SecurityMiddleware) holds for this answer too.
    *("Content-Security-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"),
    *("Permissions-Policy", "Referrer-Policy", "Strict-Transport-Security"),
    *("X-Content-Type-Options", "X-Frame-Options"),
)

Response = HttpResponseBase
GetResponse = Callable[[HttpRequest], Response | Awaitable[Response]]


class RequestContextMiddleware:
    """Gives every request its ids and every response the four headers (E-04).

    Takes over x-request-id and x-correlation-id where they are well formed and makes them where
    they are not: a request that brings no correlation id starts one under its own id. Binds the
    trace, so that jobs, audit events and logs carry both. Works under WSGI and ASGI.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        """Answer the request inside its trace."""
        if self.is_async:
            return self._answer_async(request)
        started = time.perf_counter()
        trace = trace_of(request)
        with bind_trace(trace), bind_media_type(request.headers.get("Accept", "")):
            response = cast(Response, self.get_response(request))
            return finish(request, response, trace, started)

    async def _answer_async(self, request: HttpRequest) -> Response:
        started = time.perf_counter()
        trace = trace_of(request)
        with bind_trace(trace), bind_media_type(request.headers.get("Accept", "")):
            response = await cast(Awaitable[Response], self.get_response(request))
            return finish(request, response, trace, started)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Give the envelope for what a plain Django view raises."""
        return answer(refusal_for(error)) if speaks_json(request.path_info) else None


def trace_of(request: HttpRequest) -> Trace:
    """Return the ids the request brought, or new ones."""
    request_id = _well_formed(request, "x-request-id") or public_id("req", new_id())
    return Trace(request_id, _well_formed(request, "x-correlation-id") or request_id)


def finish(request: HttpRequest, response: Response, trace: Trace, started: float) -> Response:
    """Put the envelope on errors that have none, and the four headers on everything.

    Units: `started` in seconds of the performance counter. The time of a stream is that until
    its first byte.
    """
    if response.status_code >= 400 and speaks_json(request.path_info):
        response = _enveloped(response)
    response.headers["x-request-id"] = trace.request_id
    response.headers["x-correlation-id"] = trace.correlation_id
    response.headers["x-worker-version"] = settings.VERSION
    elapsed_ms = round((time.perf_counter() - started) * 1000)
    response.headers["x-processing-time-ms"] = str(elapsed_ms)
    _log(request, response.status_code, elapsed_ms)
    return response


def _log(request: HttpRequest, status: int, elapsed_ms: int) -> None:
    """Leave a line of each request, under its ids; of plain reads only where DEBUG is logged."""
    is_plain = request.method in ("GET", "HEAD") and status < 400
    level = logging.DEBUG if is_plain else logging.INFO
    if not logger.isEnabledFor(level):
        return
    # Quoted: a path may hold line breaks, and its query secrets.
    path = quote(request.path_info, safe="/:@~!$&'()*+,;=")[:300]
    logger.log(level, "request.answered %s %s %s %d ms", request.method, path, status, elapsed_ms)


def _well_formed(request: HttpRequest, header: str) -> str:
    """Return the id in a header, or "" where it is missing or not one."""
    value = request.headers.get(header, "")
    return value if ID_SHAPE.fullmatch(value) else ""


def _enveloped(response: Response) -> Response:
    """Replace an error page that Django or a package made by the envelope."""
    if is_answer(response.headers.get("Content-Type", "")):
        return response
    refusal = refusal_for_status(response.status_code)
    replaced = answer(refusal)
    for header in KEPT_HEADERS:
        if header in response.headers:
            replaced.headers[header] = response.headers[header]
    return replaced
