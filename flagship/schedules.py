"""Recurring work of the platform."""

from __future__ import annotations

from flagship.payloads import PruneIdempotency
from jobs.registry import schedule

schedule("flagship.prune-idempotency", PruneIdempotency(), cron="23 * * * *")
