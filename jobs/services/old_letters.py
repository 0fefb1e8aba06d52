"""Giving up an organization's old dead letters, at its own wish (D-05)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction

from jobs.errors import ReasonRequired
from jobs.selectors.dead_letters import older_open
from jobs.services.dead_letters import discard
from jobs.services.schedules.clock import database_now

AT_ONCE: Final = 200
"""Letters that one call discards at most: they are one transaction, with the caller's."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What was discarded, or would be, and whether there are more."""

    discarded: int
    is_more: bool
    dry_run: bool


def discard_old(
    *, organization_id: uuid.UUID, older_than: timedelta, reason: str, actor: str, dry_run: bool
) -> Cleanup:
    """Discard an organization's open letters that died longer ago, the oldest AT_ONCE of them.

    All or none: each leaves its audit event in the one transaction. A dry run changes nothing.
    Raises: ReasonRequired, and nothing has changed.
    """
    if not reason.strip():
        raise ReasonRequired
    old = older_open(organization_id=organization_id, than=older_than, now=database_now())
    if dry_run:
        found = old[: AT_ONCE + 1].count()
        return Cleanup(min(found, AT_ONCE), found > AT_ONCE, dry_run)
    with transaction.atomic():
        rows = old.select_for_update(no_key=True).values_list("id", flat=True)[: AT_ONCE + 1]
        ids = list(rows)
        for failed_job_id in ids[:AT_ONCE]:
            discard(failed_job_id=failed_job_id, actor=actor, reason=reason)
    return Cleanup(len(ids[:AT_ONCE]), len(ids) > AT_ONCE, dry_run)
