"""Server-sent events: the format, who may have one."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer

from jobs.errors import TooManyStreams

# Made once: `json.dumps` makes one for each call with a `default`.
_JSON: Final = json.JSONEncoder(default=str)


class EventStreamRenderer(BaseRenderer):
    """Lets clients that ask for an event stream pass content negotiation."""

    media_type = "text/event-stream"
    format = "events"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Never called: the stream is written by the view."""
        raise NotImplementedError


def block(data: Mapping[str, Any], *, position: int, name: str = "") -> bytes:
    """Return one event; JSON has no line breaks of its own. Without a name it is a `message`."""
    kind = f"event: {name}\n" if name else ""
    return f"id: {position}\n{kind}data: {_JSON.encode(data)}\n\n".encode()


def heartbeat(position: int) -> bytes:
    """Return a sign of life that also moves the reader's Last-Event-ID; it is no event."""
    return f": heartbeat\nid: {position}\n\n".encode()


class Places:
    """The streams open in this process, by API key. Used from threads and from the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[uuid.UUID] = Counter()

    def count(self) -> int:
        """Return how many are open."""
        return self._open.total()

    def check(self, key: uuid.UUID, *, per_key: int, per_process: int) -> None:
        """Raise TooManyStreams if one more would be too many."""
        for open_now, limit, what in (
            (self._open[key], per_key, "key"),
            (self._open.total(), per_process, "process"),
        ):
            if open_now >= limit:
                raise TooManyStreams(
                    f"{open_now} streams of this {what} are open.",
                    data={"limit": limit, "open": open_now, "per": what},
                    headers={"Retry-After": "10"},
                )

    def take(self, key: uuid.UUID) -> None:
        """Count a stream that begins; `give_back` when it ends."""
        with self._lock:
            self._open[key] += 1

    def give_back(self, key: uuid.UUID) -> None:
        """Count it no more."""
        with self._lock:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


PLACES: Final = Places()
"""Those of every kind of stream together: each costs its process the same."""


class Cutting:
    """Passes chunks on; ends the response when its reader takes none for `stall_s` seconds.

    While a chunk is being sent only somebody else can end the response, so a timer cancels the
    task that sends it. `close`, which Django calls when a response is done for any reason, ends
    the chunks then and there instead of when the garbage is collected.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None], stall_s: float) -> None:
        self._chunks = chunks
        self._stall_s = stall_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    def __aiter__(self) -> Cutting:
        return self

    async def __anext__(self) -> bytes:
        self._loop = asyncio.get_running_loop()
        self._disarm()
        chunk = await anext(self._chunks)
        sender = asyncio.current_task()
        if sender is not None:
            self._timer = self._loop.call_later(self._stall_s, sender.cancel)
        return chunk

    def close(self) -> None:
        """End the chunks, if they were begun; called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._disarm()
        self._ending = asyncio.ensure_future(self._chunks.aclose())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def respond(chunks: AsyncGenerator[bytes, None], *, key: uuid.UUID) -> StreamingHttpResponse:
    """Answer with an event stream, for one API key.

    The response holds a place from its first chunk to its end and is cut where nobody reads; until
    the first chunk is asked for, `chunks` is not begun. The request's database connection is given
    back once its transaction has ended. Raises: TooManyStreams.
    """
    PLACES.check(key, per_key=settings.STREAMS_PER_KEY, per_process=settings.STREAMS_MAX)
    transaction.on_commit(connection.close)
    return StreamingHttpResponse(
        Cutting(_counted(chunks, key), settings.STREAM_STALL_S),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _counted(
    chunks: AsyncGenerator[bytes, None], key: uuid.UUID
) -> AsyncGenerator[bytes, None]:
    """Hold a place as long as the stream lasts; a generator that is never begun holds none."""
    PLACES.take(key)
    try:
        yield b"retry: 1000\n\n"
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    finally:
        PLACES.give_back(key)
