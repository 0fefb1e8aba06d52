"""New work: the row is the outbox."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic_core import PydanticSerializationError

from jobs.clients.doorbells import Ring
from jobs.clients.postgres import run
from jobs.errors import InvalidPayload
from jobs.ids import new_id
from jobs.models import Job
from jobs.payloads import Payload
from jobs.registry import Handler, get_handler
from jobs.services.publisher import letter_of, ring_on_commit
from jobs.states import JobState
from jobs.trace import current_trace

_INSERT: Final = """
INSERT INTO jobs_job (
    id, kind, version, queue, organization_id, payload, dedupe_key, state, attempts, failures,
    crashes, losses, backoff_s, timeout_s, next_attempt_at, published_at, delivery_no,
    lease_token, lease_owner, request_id, correlation_id, created_at
)
SELECT new.id, %(kind)s, %(version)s::int, %(queue)s, %(organization_id)s::uuid, new.payload,
    new.dedupe_key, plan.state, 0, 0, 0, 0, %(backoff_s)s::float8[], %(timeout_s)s::float8,
    plan.due_at, CASE plan.state WHEN 'queued' THEN plan.now END,
    CASE plan.state WHEN 'queued' THEN 1 ELSE 0 END,
    0, '', %(request_id)s, %(correlation_id)s, plan.now
FROM (
    SELECT clock.now, clock.now + make_interval(secs => %(delay_s)s::float8) AS due_at,
        CASE %(delay_s)s::float8 WHEN 0 THEN 'queued' ELSE 'pending' END AS state
    FROM (SELECT clock_timestamp() AS now) AS clock
) AS plan, jsonb_to_recordset(%(jobs)s::jsonb)
    AS new (id uuid, payload jsonb, dedupe_key text)
ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id, created_at, next_attempt_at
"""
_BY_KEY: Final = "SELECT dedupe_key, id FROM jobs_job WHERE dedupe_key = ANY(%(keys)s)"

New = tuple[uuid.UUID, str, str | None]
"""A job's id, its payload as it is stored, and its dedupe key."""
Inserted = dict[uuid.UUID, tuple[datetime, datetime]]
"""When each inserted job was created and is due."""


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
    handler = get_handler(payload.KIND)
    row = _describe(handler, payload, organization_id, delay_s)
    job_id, text = new_id(), _checked(handler, payload)
    while True:
        inserted = _insert(handler, row, [(job_id, text, dedupe_key)])
        if inserted:
            return _as_model(row, payload, job_id, dedupe_key, *inserted[job_id])
        existing = Job.objects.filter(dedupe_key=dedupe_key).first()
        if existing is not None:
            return existing


def enqueue_many(
    payloads: Sequence[Payload],
    *,
    organization_id: uuid.UUID | None = None,
    dedupe_keys: Sequence[str | None] | None = None,
) -> list[uuid.UUID]:
    """Store many jobs in the caller's transaction, with one statement for each kind among them.

    Returns their ids in the order of `payloads`; where a dedupe key has a job already, or comes
    twice, that job's. Nothing is stored unless every payload fits its schema.
    Raises: InvalidPayload; ValueError when there are not as many keys as payloads.
    Source: W-03, W-04.
    """
    keys: list[str | None] = [None] * len(payloads)
    if dedupe_keys is not None:
        keys = list(dedupe_keys)
    if len(keys) != len(payloads):
        raise ValueError("as many dedupe keys as payloads")
    ids = [new_id() for _ in payloads]
    kinds: dict[str, list[int]] = {}
    for place, payload in enumerate(payloads):
        kinds.setdefault(payload.KIND, []).append(place)
    texts = {
        place: _checked(get_handler(kind), payloads[place])
        for kind, places in kinds.items()
        for place in places
    }
    stored: set[uuid.UUID] = set()
    for kind, places in kinds.items():
        handler = get_handler(kind)
        row = _describe(handler, payloads[places[0]], organization_id, 0.0)
        new = [(ids[place], texts[place], keys[place]) for place in places]
        stored |= _insert(handler, row, new).keys()
    return ids if len(stored) == len(ids) else _resolve(ids, keys, stored)


def _checked(handler: Handler, payload: Payload) -> str:
    """Return the payload as it is stored, checked as it will be read again."""
    try:
        text = payload.model_dump_json()
    except PydanticSerializationError as error:
        raise _unstorable(payload, str(error)) from None
    handler.load_json(text)
    if "\\u0000" in text:
        raise _unstorable(payload, "NUL characters cannot be stored.")
    return text


def _unstorable(payload: Payload, problem: str) -> InvalidPayload:
    told = {"kind": payload.KIND, "field": ""}
    return InvalidPayload(f"{payload.KIND}: {problem}", data=told)


def _describe(
    handler: Handler, payload: Payload, organization_id: uuid.UUID | None, delay_s: float
) -> dict[str, Any]:
    """Copy the policy of a kind, as it is now, for its new rows."""
    trace = current_trace()
    return {
        "kind": payload.KIND,
        "version": payload.VERSION,
        "queue": handler.queue,
        "organization_id": organization_id,
        "backoff_s": list(handler.retry.backoff_s),
        "timeout_s": handler.timeout_s,
        "request_id": trace.request_id,
        "correlation_id": trace.correlation_id,
        "delay_s": delay_s,
    }


def _insert(handler: Handler, row: dict[str, Any], new: Sequence[New]) -> Inserted:
    """Insert, and ring on commit for what is not delayed; return what had not been there."""
    jobs = ",".join(
        f'{{"id":"{job_id}","payload":{text},"dedupe_key":{json.dumps(key)}}}'
        for job_id, text, key in new
    )
    made_now = run(_INSERT, row | {"jobs": f"[{jobs}]"})
    inserted: Inserted = {job_id: (made, due) for job_id, made, due in made_now}
    if inserted and row["delay_s"] == 0:
        letter = letter_of(handler.kind, 0)
        queue, timeout_s = handler.queue, handler.timeout_s
        # In the order given, which is the order in which they shall run.
        fresh = [job_id for job_id, _, _ in new if job_id in inserted]
        ring_on_commit([Ring(job_id, queue, 1, timeout_s, letter) for job_id in fresh])
    return inserted


def _as_model(
    row: dict[str, Any],
    payload: Payload,
    job_id: uuid.UUID,
    dedupe_key: str | None,
    created_at: datetime,
    due_at: datetime,
) -> Job:
    """Build the job as it was just stored."""
    now = row["delay_s"] == 0
    job = Job(
        id=job_id,
        payload=payload.to_json(),
        dedupe_key=dedupe_key,
        state=str(JobState.QUEUED if now else JobState.PENDING),
        published_at=created_at if now else None,
        delivery_no=int(now),
        created_at=created_at,
        next_attempt_at=due_at,
        **{name: value for name, value in row.items() if name != "delay_s"},
    )
    job._state.adding = False
    return job


def _resolve(
    ids: list[uuid.UUID], keys: list[str | None], stored: set[uuid.UUID]
) -> list[uuid.UUID]:
    """Put the job that has the key in the place of one that was not stored."""
    wanted = [key for job_id, key in zip(ids, keys, strict=True) if job_id not in stored]
    existing = dict(run(_BY_KEY, {"keys": wanted}))
    return [
        job_id if job_id in stored else existing[key] for job_id, key in zip(ids, keys, strict=True)
    ]
