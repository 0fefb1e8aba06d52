"""The telemetry stream as server-sent events."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from jobs.api.sse import block, heartbeat
from jobs.telemetry import Event, Wanted
from jobs.telemetry.follow import Beat, Gap, follow

LONGEST_S: Final = 600.0
"""After that a reader comes back by itself, and its key is looked at again."""


async def written(wanted: Wanted, after: int | None) -> AsyncGenerator[bytes, None]:
    """Yield the stream of what is wanted behind `after` (None: from now on)."""
    # Not all at once: readers that came together after a restart go back apart.
    lasting_s = LONGEST_S * random.uniform(0.8, 1.0)  # noqa: S311
    async with aclosing(follow(wanted, after=after, lasting_s=lasting_s)) as items:
        async for item in items:
            yield _written(item, wanted)


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


def _written(item: Event | Beat | Gap, wanted: Wanted) -> bytes:
    match item:
        case Beat(position):
            return heartbeat(position)
        case Gap(after, position):
            told = {"after": after, "resumesBehind": position}
            return block(told, position=position, name="gap")
        case Event():
            return block(describe(item, wanted), position=item.sequence)
