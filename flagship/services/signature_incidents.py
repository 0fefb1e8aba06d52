"""What must not happen to a client's signatures is counted, audited and told (E-05)."""

from __future__ import annotations

import logging
import uuid

from django.db import connection

from flagship.models.signature import Incident
from flagship.services.audit import record
from flagship.signatures import Outcome
from jobs import telemetry
from jobs.clients.wall import inside

logger = logging.getLogger("flagship.signatures")

EVENTS = {
    Outcome.MISMATCH: "signature.mismatched",
    Outcome.FORGED: "signature.forged",
    Outcome.STALE: "signature.stale",
    Outcome.REPLAY: "signature.replayed",
    Outcome.DOWNGRADE: "signature.downgrade_tried",
}


def note_incident(*, incident: Incident) -> None:
    """Count an incident of a known client, publish it, and log it.

    The first of its kind in an hour leaves an audit event; whoever sends garbage by the thousand
    fills a counter and not the trail. In a transaction of its own, or as a part of the request's.
    """
    event, client = EVENTS[incident.outcome], str(incident.api_key_id)
    told = {"key_id": incident.key_id, "reason": incident.reason}
    with inside(incident.organization_id):
        if _count(incident.outcome, incident.api_key_id) == 1:
            record(
                action=event,
                subject_type="api_key",
                subject_id=client,
                organization_id=incident.organization_id,
                actor="edge",
                data={
                    "keyId": incident.key_id,
                    "reason": incident.reason,
                    "note": "first of its kind this hour",
                },
            )
    telemetry.publish(event, organization_id=incident.organization_id, client_ref=client, **told)
    logger.warning(
        "%s key_id=%s api_key=%s reason=%s", event, told["key_id"], client, told["reason"]
    )


def _count(outcome: Outcome, api_key_id: uuid.UUID) -> int:
    """Add one to this hour's tally; return what it is now."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO flagship_signaturetally AS tally (api_key_id, hour, outcome, count)
            VALUES (%s, date_trunc('hour', clock_timestamp(), 'UTC'), %s, 1)
            ON CONFLICT (api_key_id, hour, outcome) DO UPDATE SET count = tally.count + 1
            RETURNING count
            """,
            [api_key_id, outcome.value],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0
