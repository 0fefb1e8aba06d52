"""What has been seen of clients that sign."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from django.db import connection

from flagship.signatures.evidence import Evidence
from flagship.signatures.stages import Outcome


def evidence_of(api_key_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Evidence]:
    """Return each client's last day: 24 full hours and the one that has begun.

    Tallies hold what has been counted, the uses of the last minutes what has not been yet.
    """
    wanted = list(api_key_ids)
    counts: dict[uuid.UUID, dict[Outcome, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT api_key_id, outcome, sum(count)::bigint FROM (
                SELECT api_key_id, outcome, count FROM flagship_signaturetally
                WHERE api_key_id = ANY(%s)
                  AND hour >= date_trunc('hour', clock_timestamp() - interval '24 hours', 'UTC')
                UNION ALL
                SELECT api_key_id, proof, count(*) FROM flagship_signatureuse
                WHERE api_key_id = ANY(%s) AND proof <> 'mismatch'
                  AND used_at >= date_trunc('hour', clock_timestamp() - interval '24 hours', 'UTC')
                GROUP BY api_key_id, proof
            ) AS seen
            GROUP BY api_key_id, outcome
            """,
            [wanted, wanted],
        )
        for api_key_id, outcome, count in cursor.fetchall():
            counts[api_key_id][Outcome(outcome)] = count
    return {api_key_id: Evidence(counts.get(api_key_id, {})) for api_key_id in wanted}
