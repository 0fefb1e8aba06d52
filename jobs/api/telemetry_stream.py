"""The telemetry stream as server-sent events: counted, formatted, cut where nobody reads."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from django.conf import settings

from jobs.api.sse import Cutting, Places, block, heartbeat
from jobs.telemetry import Event, Wanted
from jobs.telemetry.follow import Beat, Gap, follow

LONGEST_S: Final = 600.0
"""After that a reader comes back by itself, and its key is looked at again."""

PLACES: Final = Places()


def open_stream(wanted: Wanted, after: int | None, key: uuid.UUID) -> Cutting:
    """Return the stream of what is wanted behind `after` (None: from now on), for one API key."""
    return Cutting(_counted(wanted, after, key), settings.TELEMETRY_STALL_S)


def describe(event: Event, wanted: Wanted) -> dict[str, Any]:
    """Return an event as the reader sees it; the machines' names are the platform's own."""
    return {
        "sequence": event.sequence,
        "name": event.name,
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "isPlatform": event.organization_id is None,
        "source": event.source if wanted.platform or wanted.everyone else None,
        "requestId": event.request_id,
        "correlationId": event.correlation_id,
        "data": event.data,
    }


async def _counted(
    wanted: Wanted, after: int | None, key: uuid.UUID
) -> AsyncGenerator[bytes, None]:
    """Hold a place as long as the stream lasts; a generator that is never begun holds none."""
    PLACES.take(key)
    # Not all at once: readers that came together after a restart go back apart.
    lasting_s = LONGEST_S * random.uniform(0.8, 1.0)  # noqa: S311
    try:
        yield b"retry: 1000\n\n"
        async with aclosing(follow(wanted, after=after, lasting_s=lasting_s)) as items:
            async for item in items:
                yield _written(item, wanted)
    finally:
        PLACES.give_back(key)


def _written(item: Event | Beat | Gap, wanted: Wanted) -> bytes:
    match item:
        case Beat(position):
            return heartbeat(position)
        case Gap(after, position):
            told = {"after": after, "resumesBehind": position}
            return block(told, position=position, name="gap")
        case Event():
            return block(describe(item, wanted), position=item.sequence)
