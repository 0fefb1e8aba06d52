"""Keeping telemetry small (O-02)."""

from __future__ import annotations

from typing import Final

from django.db import connection

BATCH: Final = 2_000

_PRUNE: Final = """
DELETE FROM jobs_telemetryevent
WHERE sequence IN (SELECT sequence FROM jobs_telemetryevent ORDER BY sequence LIMIT %(limit)s)
    AND (at < clock_timestamp() - make_interval(secs => %(keep_s)s)
        OR sequence <= (SELECT max(sequence) FROM jobs_telemetryevent) - %(keep_events)s)
"""


def prune_telemetry(*, keep_s: float, keep_events: int, batch: int = BATCH) -> int:
    """Delete the oldest events, up to `batch` of them; return how many.

    Gone is what is older than `keep_s` seconds or has `keep_events` numbers behind it. A reader
    that resumes from before is told of the gap. Call it again while it returns something.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, {"limit": batch, "keep_s": keep_s, "keep_events": keep_events})
        return int(cursor.rowcount)
