"""Whose rows a request sees (P24, docs/isolation.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from flagship.errors.envelope import answer
from flagship.errors.translate import refusal_for
from flagship.middleware.routes import is_api
from flagship.selectors.caller import client_of
from flagship.services.known_callers import KnownCaller, inside_as
from jobs.clients.wall import outside
from jobs.errors import Refusal

# Who may see all rows is decided behind these addresses: operators by their permissions, and
# everybody what was published.
PLATFORM_PREFIXES = ("/admin/", "/sites/")
# Answered from the code alone. A transaction would be two round trips for no row; and a process
# that serves the API sees nobody's rows without one.
ROWLESS_PREFIXES = ("/v1/jobs/kinds", "/api/jobs/kinds")

Response = HttpResponseBase


def transaction_of(request: HttpRequest) -> AbstractContextManager[object]:
    """Return the transaction that a request runs in: it sees the rows of the caller's organization.

    One without a caller sees what the process does, which is nothing where it serves the API. One
    whose caller is not what it was is refused as it begins (`inside_as`).
    """
    client = client_of(request)
    if client is None:
        return transaction.atomic()
    return inside_as(known_caller_of(request), client.organization_id)


def known_caller_of(request: HttpRequest) -> KnownCaller | None:
    """Return the caller that the request's transaction has to confirm; None where it need not."""
    known: KnownCaller | None = getattr(request, "known_caller", None)
    return known


class PlatformMiddleware:
    """Lets the console and published sites see all rows; stands before the first that reads one.

    Where streams are served (ASGI) neither is.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Response | Awaitable[Response]]):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        """Answer the request."""
        if self.is_async or not request.path_info.startswith(PLATFORM_PREFIXES):
            return self.get_response(request)
        with outside():
            return self.get_response(request)


class WallMiddleware:
    """Runs the view of every request of a client in a transaction that sees its organization only.

    Stands right before the view. A mutating request is in its transaction already, with its
    idempotency key; all others get theirs here. Anything but a success is rolled back.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        client = client_of(request)
        if client is None or not _has_rows(request):
            return self.get_response(request)
        try:
            with transaction_of(request):
                response = self.get_response(request)
                if response.status_code >= 400:
                    transaction.set_rollback(True)
                return response
        except (Refusal, Error) as error:
            return answer(refusal_for(error))


def _has_rows(request: HttpRequest) -> bool:
    return is_api(request) and not request.path_info.startswith(ROWLESS_PREFIXES)
