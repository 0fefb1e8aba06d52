"""The platform's kinds of job."""

from __future__ import annotations

from jobs.payloads import Payload


class PruneLogins(Payload):
    """Delete login counters that no rule remembers; a second run finds nothing left to do."""

    KIND = "flagship.prune_logins"


class PruneSessions(Payload):
    """Delete logins that are over; a second run finds nothing left to do."""

    KIND = "flagship.prune_sessions"


class PruneIdempotency(Payload):
    """Delete answers older than 24 hours; a second run finds nothing left to do."""

    KIND = "flagship.prune_idempotency"


class FoldSignatures(Payload):
    """Count uses of signatures whose nonces are over into tallies; a second run finds none."""

    KIND = "flagship.fold_signatures"
