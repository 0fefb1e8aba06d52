"""New work: the row is the outbox."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import Any, Final

from django.db import transaction

from jobs.errors import DedupeKeyInUse, InvalidPayload
from jobs.ids import new_id, public_id
from jobs.models import Job
from jobs.payloads import Payload
from jobs.registry import Handler, get_handler
from jobs.services.publisher import publish_soon
from jobs.trace import current_trace

_INSERT: Final = """
INSERT INTO jobs_job (
    id, kind, version, queue, organization_id, payload, dedupe_key, state, attempts, failures,
    crashes, losses, backoff_s, timeout_s, next_attempt_at, delivery_no, lease_token, lease_owner,
    request_id, correlation_id, created_at
)
SELECT %(id)s, %(kind)s, %(version)s, %(queue)s, %(organization_id)s, %(payload)s::jsonb,
    %(dedupe_key)s, 'pending', 0, 0, 0, 0, %(backoff_s)s::float8[], %(timeout_s)s,
    clock.now + make_interval(secs => %(delay_s)s), 0, 0, '',
    %(request_id)s, %(correlation_id)s, clock.now
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING *
"""


def enqueue(
    payload: Payload,
    *,
    organization_id: uuid.UUID | None = None,
    dedupe_key: str | None = None,
    delay_s: float = 0.0,
) -> Job:
    """Store a job in the caller's transaction; it is rung for once that has committed.

    Invariant: the job exists exactly when the caller's work does. Redis is not needed: a doorbell
    that cannot be pushed is pushed by the sweeper. With a `dedupe_key` that a job has already,
    that job is returned, whatever has become of it.

    Units: `delay_s` in seconds, on the database's clock.
    Raises: InvalidPayload; ValueError for a negative delay. Source: W-03, W-04.
    """
    if delay_s < 0:
        raise ValueError("delay_s must not be negative")
    row = _describe(payload) | {
        "organization_id": organization_id,
        "dedupe_key": dedupe_key,
        "delay_s": delay_s,
    }
    while True:
        inserted = list(Job.objects.raw(_INSERT, row))
        if inserted:
            if delay_s == 0:
                soon = partial(publish_soon, job_id=inserted[0].id)
                transaction.on_commit(soon, robust=True)
            return inserted[0]
        existing = Job.objects.filter(dedupe_key=dedupe_key).first()
        if existing is not None:
            return existing


def enqueue_for_client(
    *,
    handler: Handler,
    payload: dict[str, Any],
    organization_id: uuid.UUID,
    dedupe_key: str | None = None,
) -> Job:
    """Store a job that a client asked for; its dedupe keys are its organization's own.

    Raises: InvalidPayload; DedupeKeyInUse when the key's job is not the one described.
    """
    key = None if dedupe_key is None else f"client:{organization_id.hex}:{dedupe_key}"
    wanted = handler.load(payload)
    job = enqueue(wanted, organization_id=organization_id, dedupe_key=key)
    if (job.kind, job.payload) != (wanted.KIND, wanted.to_json()):
        told = {"jobId": public_id("job", job.id), "kind": job.kind}
        raise DedupeKeyInUse(f"The key {dedupe_key!r} is taken.", data=told)
    return job


def _describe(payload: Payload) -> dict[str, object]:
    """Check the payload as it will be read again, and copy the policy of its kind."""
    handler = get_handler(payload.KIND)
    stored = payload.to_json()
    handler.load(stored)
    text = json.dumps(stored)
    if "\\u0000" in text:
        raise InvalidPayload(
            f"{payload.KIND}: NUL characters cannot be stored.",
            data={"kind": payload.KIND, "field": ""},
        )
    trace = current_trace()
    return {
        "id": new_id(),
        "kind": payload.KIND,
        "version": payload.VERSION,
        "queue": handler.queue,
        "payload": text,
        "backoff_s": list(handler.retry.backoff_s),
        "timeout_s": handler.timeout_s,
        "request_id": trace.request_id,
        "correlation_id": trace.correlation_id,
    }
