"""Record audit events."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flagship.models.audit import ACTION_SHAPE
from jobs.clients.postgres import run
from jobs.trace import current_trace

DATA_BYTES = 16 * 1024
# An event recorded by the statement that does the work: behind `INSERT`, with `event_values`. The
# database gives it its id and its time, so that it comes after what the statement waited for.
EVENT_COLUMNS = """flagship_auditevent (
    id, organization_id, action, subject_type, subject_id, actor, request_id, correlation_id,
    occurred_at, data
)"""
EVENT_VALUES = """
    uuidv7(), %(event_organization_id)s::uuid, %(event_action)s::text,
    %(event_subject_type)s::text, %(event_subject_id)s::text, %(event_actor)s::text,
    %(event_request_id)s::text, %(event_correlation_id)s::text, clock_timestamp()"""

_RECORD = f"""
INSERT INTO {EVENT_COLUMNS} VALUES ({EVENT_VALUES}, %(event_data)s::jsonb)
"""  # noqa: S608 (names of ours only)

_RECORD_EACH = f"""
INSERT INTO {EVENT_COLUMNS}
SELECT uuidv7(), %(organization_id)s::uuid, event.action, event.subject_type, event.subject_id,
    %(actor)s::text, %(request_id)s::text, %(correlation_id)s::text, clock_timestamp(), event.data
  FROM jsonb_to_recordset(%(events)s::jsonb)
       AS event (action text, subject_type text, subject_id text, data jsonb)
"""  # noqa: S608 (names of ours only)


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to a subject: as `record` takes it."""

    action: str
    subject_type: str
    subject_id: str
    data: dict[str, Any]


class InvalidAuditEvent(ValueError):
    """The event is not one: a defect of the caller, nothing was recorded."""


def record(
    *,
    action: str,
    subject_type: str,
    subject_id: str,
    organization_id: uuid.UUID | None,
    actor: str,
    data: dict[str, Any] | None = None,
) -> None:
    """Record that `actor` did `action` to a subject, in the caller's transaction.

    The event commits with the work it tells of, or not at all. `action` reads `noun.verb` in the
    past tense (`api_key.blocked`); request and correlation id come from the current trace. `data`
    holds plain JSON of at most 16 KiB and never a secret.

    Raises: InvalidAuditEvent when a part is missing or misshapen.
    Source: F-03, C-05, D-06.
    """
    values = event_values(
        action=action,
        subject_type=subject_type,
        subject_id=subject_id,
        organization_id=organization_id,
        actor=actor,
        data=data or {},
    )
    run(_RECORD, values | {"event_data": json.dumps(data or {})})


def record_each(events: Sequence[Event], *, organization_id: uuid.UUID | None, actor: str) -> None:
    """Record several events of one organization and actor, in their order and in one statement.

    Raises: InvalidAuditEvent, as `record`; nothing was recorded then.
    """
    for event in events:
        subject = (event.subject_type, event.subject_id)
        _validate(action=event.action, subject=subject, actor=actor, data=event.data)
    trace = current_trace()
    values = {
        "organization_id": organization_id,
        "actor": actor,
        "request_id": trace.request_id,
        "correlation_id": trace.correlation_id,
        "events": json.dumps(
            [
                {
                    "action": event.action,
                    "subject_type": event.subject_type,
                    "subject_id": event.subject_id,
                    "data": event.data,
                }
                for event in events
            ]
        ),
    }
    run(_RECORD_EACH, values)


def event_values(
    *,
    action: str,
    subject_type: str,
    subject_id: str,
    organization_id: uuid.UUID | None,
    actor: str,
    data: dict[str, Any],
) -> dict[str, Any]:
    """Return what EVENT_VALUES is bound to, checked as `record` checks it.

    `data` is the statement's own to write: it may add what only it finds out.

    Raises: InvalidAuditEvent.
    """
    _validate(action=action, subject=(subject_type, subject_id), actor=actor, data=data)
    trace = current_trace()
    return {
        "event_organization_id": organization_id,
        "event_action": action,
        "event_subject_type": subject_type,
        "event_subject_id": subject_id,
        "event_actor": actor,
        "event_request_id": trace.request_id,
        "event_correlation_id": trace.correlation_id,
    }


def _validate(*, action: str, subject: tuple[str, str], actor: str, data: dict[str, Any]) -> None:
    """Refuse what the table would refuse, with a reason."""
    if not re.fullmatch(ACTION_SHAPE, action) or len(action) > 100:
        raise InvalidAuditEvent(f"an action reads noun.verb, not {action!r}")
    subject_type, subject_id = subject
    if not 0 < len(subject_type) <= 50 or not 0 < len(subject_id) <= 100:
        raise InvalidAuditEvent("a subject has a type and an id")
    if not 0 < len(actor) <= 150:
        raise InvalidAuditEvent("an actor has 1 to 150 characters")
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidAuditEvent(f"data is not JSON: {error}") from error
    if len(text) > DATA_BYTES or b"\\u0000" in text:
        raise InvalidAuditEvent("data is over 16 KiB or holds a NUL")
