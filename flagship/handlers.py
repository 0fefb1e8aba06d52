"""The platform's kinds, handled: payload in, service call out."""

from __future__ import annotations

from typing import Any

from flagship.payloads import PruneIdempotency
from flagship.services.idempotency import prune_idempotency
from jobs.context import JobContext
from jobs.queues import MAINTENANCE
from jobs.registry import handler


@handler(PruneIdempotency, queue=MAINTENANCE, timeout_s=300.0)
def prune(payload: PruneIdempotency, context: JobContext) -> dict[str, Any]:
    """Delete expired answers batch by batch, each in its own transaction."""
    pruned = 0
    while batch := prune_idempotency():
        pruned += batch
        context.check()
    return {"pruned": pruned}
