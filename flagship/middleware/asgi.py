"""What has to happen before Django's ASGI handler, which reads a body before any middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.requests import MalformedRequest
from flagship.middleware.body_limit import JSON_BYTES
from flagship.middleware.browser import BrowserMiddleware
from flagship.middleware.request_context import RequestContextMiddleware
from flagship.middleware.wsgi import is_readable

CONTENT_TYPE = b"content-type"

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class UnreadLargeBodies:
    """Hands on a large body, or one of unknown length, as an empty one.

    The body limit then refuses the request by its headers as it does under WSGI, and nobody can
    fill the disk of the process that serves streams.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        is_large = scope["type"] == "http" and _is_large(dict(scope["headers"]))
        await self.application(scope, _Unread(receive) if is_large else receive, send)


class ReadableContentType:
    """Hands on a Content-Type that Django cannot read as an empty one, as under WSGI."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            sent = [value for name, value in scope["headers"] if name == CONTENT_TYPE]
            if not is_readable(b",".join(sent).decode("latin-1")):
                others = [each for each in scope["headers"] if each[0] != CONTENT_TYPE]
                scope = {**scope, "headers": [*others, (CONTENT_TYPE, b"")]}
        await self.application(scope, receive, send)


class AnswersAll:
    """Refuses what Django gives up on without a word: a body that ends before it should.

    The server would answer with an error of its own (500), as if the failure were ours.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and see that it is answered."""
        is_answered = False

        async def note(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await self.application(scope, receive, note)
        if scope["type"] == "http" and not is_answered:
            await _refuse_cut_off(scope, send)


async def _refuse_cut_off(scope: Scope, send: Send) -> None:
    request = HttpRequest()
    request.path_info = scope["path"]
    response = cast(HttpResponse, _CUT_OFF(request))
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
    ]
    start = {"type": "http.response.start", "status": response.status_code, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": response.content})


# Django has not come to its middleware when it gives up: what every answer has is added here.
_CUT_OFF: Final = RequestContextMiddleware(
    BrowserMiddleware(
        lambda request: answer(MalformedRequest("The body is shorter than its Content-Length."))
    )
)


class _Unread:
    """A receive channel whose body ends at once; what comes after it is passed on."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.is_first = True

    async def __call__(self) -> Message:
        if self.is_first:
            self.is_first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        while (message := await self.receive())["type"] == "http.request":
            pass
        return message


def _is_large(headers: dict[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" in headers or not length.isdigit() or int(length[:20]) > JSON_BYTES
