"""The platform's kinds, handled: payload in, service call out."""

from __future__ import annotations

from typing import Any

from flagship.payloads import FoldSignatures, PruneIdempotency, PruneLogins, PruneSessions
from flagship.services.idempotency import prune_idempotency
from flagship.services.logins import prune_logins as prune_login_limits
from flagship.services.sessions import prune_sessions as prune_ended_sessions
from flagship.services.signature_uses import fold_uses, prune_tallies
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


@handler(PruneLogins, queue=MAINTENANCE, timeout_s=300.0)
def prune_logins(payload: PruneLogins, context: JobContext) -> dict[str, Any]:
    """Delete forgotten login counters batch by batch, each in its own transaction."""
    pruned = 0
    while batch := prune_login_limits():
        pruned += batch
        context.check()
    return {"pruned": pruned}


@handler(PruneSessions, queue=MAINTENANCE, timeout_s=300.0)
def prune_sessions(payload: PruneSessions, context: JobContext) -> dict[str, Any]:
    """Delete what is left of logins that are over."""
    return {"pruned": prune_ended_sessions()}


@handler(FoldSignatures, queue=MAINTENANCE, timeout_s=300.0)
def fold(payload: FoldSignatures, context: JobContext) -> dict[str, Any]:
    """Fold batch by batch, each in its own transaction."""
    folded = 0
    while batch := fold_uses():
        folded += batch
        context.check()
    return {"folded": folded, "prunedTallies": prune_tallies()}
