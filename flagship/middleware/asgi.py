"""What has to happen before Django's ASGI handler, which reads a body before any middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flagship.middleware.body_limit import JSON_BYTES

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
