"""Recurring work of the platform."""

from __future__ import annotations

from flagship.payloads import FoldSignatures, PruneIdempotency, PruneLogins, PruneSessions
from jobs.registry import schedule

schedule("flagship.prune-idempotency", PruneIdempotency(), cron="23 * * * *")
schedule("flagship.prune-logins", PruneLogins(), cron="53 * * * *")
schedule("flagship.prune-sessions", PruneSessions(), cron="38 3 * * *")
schedule("flagship.fold-signatures", FoldSignatures(), every_s=60)
