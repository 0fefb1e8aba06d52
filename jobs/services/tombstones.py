"""What stays of dead letters that are deleted, so that where a job went has an answer (D-04)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import connection

FORGOTTEN_AT_ONCE: Final = 5_000

# Behind a WITH whose `letters` are the rows deleted; `remover` names who did it.
ENTOMB: Final = """
INSERT INTO jobs_lettertombstone (letter_id, job_id, kind, queue, organization_id, error_class,
    fingerprint, attempts, payload_sha256, state, died_at, resolved_by, reason, request_id,
    removed_by)
SELECT id, job_id, kind, queue, organization_id, error_class, fingerprint, attempts,
    encode(sha256(convert_to(payload::text, 'UTF8')), 'hex'), state, died_at, resolved_by, reason,
    request_id, %(remover)s
FROM letters
RETURNING fingerprint
"""
_FORGET: Final = """
DELETE FROM jobs_lettertombstone WHERE letter_id IN (
    SELECT letter_id FROM jobs_lettertombstone
    WHERE removed_at < clock_timestamp() - make_interval(secs => %(age_s)s)
    ORDER BY removed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""


def forget_tombstones(*, older_than: timedelta, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Delete at most `limit` of the tombstones that are older than this; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, {"age_s": older_than.total_seconds(), "limit": limit})
        return int(cursor.rowcount)
