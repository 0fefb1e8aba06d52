"""/v1/streams/builds/{buildId}/log: a build's log as it is written (B-05).

Server-sent events. Each line is an event `line` with its sequence number as id; `end` says that
the build has ended and nothing follows. A reader that was cut off sends the last id it saw and
misses nothing.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from builds.api.addresses import stream_url
from builds.api.examples import LOG_STREAM
from builds.api.fields import parse_path_id
from builds.errors import BuildNotFound
from builds.selectors.builds import LogLine, LogPiece, get_state, read_log
from builds.states import is_final
from flagship.api.authentication import caller_of
from flagship.errors.requests import ValidationFailed
from jobs.api.sse import EventStreamRenderer, block, respond
from jobs.clients.wall import inside
from jobs.errors import StreamElsewhere, TooManyStreams

POLL_S: Final = 0.25
IDLE_POLL_S: Final = 1.0
HEARTBEAT_S: Final = 15.0
LONGEST_S: Final = 3600.0
BATCH_LINES: Final = 500
CHUNK_LINES: Final = 50

# Streams share a few reading threads and their connections: an idle stream holds none.
_READERS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="build-log-reader")


class BuildLogStream(APIView):
    """A build's log as it is written."""

    scopes = {"GET": "builds:read"}
    refusals = {"GET": (BuildNotFound, StreamElsewhere, TooManyStreams)}
    renderer_classes = [EventStreamRenderer]

    @extend_schema(
        parameters=[
            OpenApiParameter("Last-Event-ID", OpenApiTypes.INT, OpenApiParameter.HEADER),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, "Server-sent events.", examples=[LOG_STREAM]
            )
        },
    )
    def get(self, request: Request, build_id: str) -> HttpResponseBase:
        """Follow a log from its start, or from behind Last-Event-ID."""
        after = last_event_id(request.headers.get("Last-Event-ID", "0"))
        caller = caller_of(request)
        wanted = parse_path_id("build", build_id, BuildNotFound)
        get_state(organization_id=caller.organization_id, build_id=wanted)
        if not isinstance(request._request, ASGIRequest):
            raise StreamElsewhere(stream_url(wanted))
        read = partial(_read, caller.organization_id, wanted)
        return respond(follow(read, after), key=caller.api_key_id)


def last_event_id(text: str) -> int:
    """Read the position a reader resumes from. Raises: ValidationFailed."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValidationFailed({"Last-Event-ID": ["Must be the id of an event of this stream."]})
    return int(text)


async def follow(read: Callable[[int], LogPiece], after: int) -> AsyncGenerator[bytes, None]:
    """Yield events until the build has ended and all its lines were sent.

    `read` returns what follows a sequence number, in a thread that may wait for the database.
    A stream that lasts LONGEST_S ends without `end`; its reader comes back by itself.
    """
    loop = asyncio.get_running_loop()
    until = time.monotonic() + LONGEST_S
    beat_at = time.monotonic() + HEARTBEAT_S
    while time.monotonic() < until:
        piece = await loop.run_in_executor(_READERS, read, after)
        for text in _written(piece.items):
            yield text
        after = piece.last_seq
        if piece.is_complete:
            ended = {"state": piece.state, "lastSeq": after}
            yield block(ended, position=after, name="end")
            return
        if piece.items:
            beat_at = time.monotonic() + HEARTBEAT_S
        elif time.monotonic() >= beat_at:
            beat_at = time.monotonic() + HEARTBEAT_S
            yield b": heartbeat\n\n"
        if len(piece.items) < BATCH_LINES:
            await asyncio.sleep(POLL_S if piece.items or is_final(piece.state) else IDLE_POLL_S)


def _written(lines: list[LogLine]) -> Iterator[bytes]:
    """Write lines as events, some of them at once: sending costs more than writing."""
    blocks = [block(_told(line), position=line.seq, name="line") for line in lines]
    for start in range(0, len(blocks), CHUNK_LINES):
        yield b"".join(blocks[start : start + CHUNK_LINES])


def _told(line: LogLine) -> dict[str, Any]:
    """Return what LogLineSerializer makes of a line, without asking it four times for each."""
    at = line.at.isoformat().replace("+00:00", "Z")
    return {"seq": line.seq, "stream": line.stream, "text": line.text, "at": at}


def _read(organization_id: uuid.UUID, build_id: uuid.UUID, after: int) -> LogPiece:
    try:
        with inside(organization_id):
            return read_log(
                organization_id=organization_id, build_id=build_id, after=after, limit=BATCH_LINES
            )
    finally:
        connection.close()  # Back into the pool.
