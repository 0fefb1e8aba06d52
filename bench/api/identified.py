"""What is left of the edge where views are measured by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from flagship.selectors.api_keys import ApiClient, find_credentials, is_right_key

Response = HttpResponseBase
GetResponse = Callable[[HttpRequest], Response | Awaitable[Response]]


class IdentifiedMiddleware:
    """Knows a client by heart once it has been asked for it: views need to know who is calling.

    No transaction, no stored answer, no headers, no envelope: that is what is compared with.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        """Hand the request on with its client and its key."""
        if self.is_async:
            return self._answer_async(request)
        _identify(request, _client(_presented(request)))
        return self.get_response(request)

    async def _answer_async(self, request: HttpRequest) -> Response:
        _identify(request, await sync_to_async(_client)(_presented(request)))
        return await cast(Awaitable[Response], self.get_response(request))


def _presented(request: HttpRequest) -> str:
    return request.headers.get("Authorization", "").partition(" ")[2]


def _identify(request: HttpRequest, client: ApiClient | None) -> None:
    setattr(request, "api_client", client)  # noqa: B010 (read by selectors.caller)
    setattr(request, "idempotency_key", request.headers.get("Idempotency-Key"))  # noqa: B010


@cache
def _client(presented: str) -> ApiClient | None:
    found = find_credentials(bearer=presented, signing_key_id=None)
    return found.client() if found and is_right_key(presented, found) else None
