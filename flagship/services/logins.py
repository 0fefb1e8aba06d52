"""How often a login to the console may fail (research 6.3).

Counted in PostgreSQL always, by three things at once: the name from this address, the address, and
the name from anywhere. Each has some tries that cost nothing; from then on every failed one makes
the next wait, twice as long each time. Nothing is locked for ever: time alone unlocks.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from flagship.errors import LoginBlocked
from flagship.models import LoginLimit
from flagship.selectors.addresses import subscriber_of
from flagship.services.audit import record

KNOWN_FOR: Final = timedelta(days=30)
FORGOTTEN_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` tries, then waits from `first_s` to `longest_s`; forgotten after `memory_s` quiet."""

    free: int
    first_s: float
    longest_s: float
    memory_s: float

    def wait_s(self, failures: int) -> float:
        """Return how long the next try has to wait after so many failures."""
        if failures < self.free:
            return 0.0
        return float(min(self.longest_s, self.first_s * 2.0 ** min(failures - self.free, 30)))


RULES: Final = {
    LoginLimit.PAIR: Rule(free=5, first_s=60, longest_s=3600, memory_s=86_400),
    LoginLimit.ADDRESS: Rule(free=30, first_s=60, longest_s=3600, memory_s=3600),
    # Short waits: a name is known to others, and its owner must get in between their tries.
    LoginLimit.NAME: Rule(free=20, first_s=15, longest_s=300, memory_s=3600),
}


@dataclass(frozen=True, slots=True)
class Try:
    """One login: the name as typed, and the address it comes from."""

    name: str
    address: str

    def subjects(self) -> dict[bytes, str]:
        """Return what the try counts for: hash to kind, in the order in which rows are locked.

        Case and width of letters make no other name.
        """
        name = unicodedata.normalize("NFKC", self.name).casefold()
        source = subscriber_of(self.address)
        told = {
            LoginLimit.PAIR: f"{name}\n{source}",
            LoginLimit.ADDRESS: source,
            LoginLimit.NAME: name,
        }
        hashes = {
            hashlib.sha256(f"{kind}\n{subject}".encode("utf-8", "surrogatepass")).digest(): kind
            for kind, subject in told.items()
        }
        return dict(sorted(hashes.items()))


def claim_try(*, login: Try) -> None:
    """Count a login as failed before its password is looked at, or refuse it.

    Invariant: rows are locked and the count commits before this returns, so that of any number of
    tries at once no more are let through than one by one. A name that has logged in from this
    address in the last 30 days is not held up by what others do to it from elsewhere.

    Raises: LoginBlocked with the longest of the waits; nothing was counted but the refusal.
    """
    with transaction.atomic():
        rows, now = _locked(login)
        pair = next(row for row in rows if row.kind == LoginLimit.PAIR)
        if pair.succeeded_at and now - pair.succeeded_at < KNOWN_FOR:
            rows = [row for row in rows if row.kind != LoginLimit.NAME]
        blocked = [row for row in rows if _failures(row, now) and row.free_at > now]
        for row in blocked:
            row.refused += 1
        for row in [] if blocked else rows:
            row.failures = _failures(row, now) + 1
            row.tried_at = now
            row.free_at = now + timedelta(seconds=RULES[row.kind].wait_s(row.failures))
        LoginLimit.objects.bulk_update(rows, ["failures", "refused", "tried_at", "free_at"])
    if blocked:
        longest = max(row.free_at - now for row in blocked)
        raise LoginBlocked(retry_after_s=max(1, math.ceil(longest.total_seconds())))


def record_success(*, login: Try) -> None:
    """Give a right login's try back; its name, and the name from this address, begin anew.

    The address does not: somebody with one right password could try others for ever.
    """
    with transaction.atomic():
        rows, now = _locked(login)
        for row in rows:
            row.failures = max(0, row.failures - 1) if row.kind == LoginLimit.ADDRESS else 0
            if row.failures < RULES[row.kind].free:
                row.free_at = max(now, row.tried_at)
            if row.kind == LoginLimit.PAIR:
                row.succeeded_at = now
        LoginLimit.objects.bulk_update(rows, ["failures", "free_at", "succeeded_at"])
        _record("console.login_succeeded", login, login.name, {})


def record_failure(*, login: Try, operator: str | None) -> None:
    """Leave an audit event of a wrong login, with what is blocked by it.

    `operator` is the name where there is such an operator: anything else that was typed may have
    been a password, and is not kept.
    """
    hashes = list(login.subjects())
    with transaction.atomic():
        blocked = LoginLimit.objects.filter(subject_hash__in=hashes, free_at__gt=Now())
        until = {row.kind: row.free_at.isoformat() for row in blocked}
        _record("console.login_failed", login, operator, {"blockedUntil": until})


def prune_logins(*, limit: int = 5000) -> int:
    """Delete up to `limit` rows that no rule remembers any more; return how many."""
    with transaction.atomic():
        stale = LoginLimit.objects.filter(
            Q(succeeded_at__isnull=True) | Q(succeeded_at__lt=Now() - KNOWN_FOR),
            tried_at__lt=Now() - FORGOTTEN_AFTER,
        ).select_for_update(skip_locked=True)
        hashes = list(stale.values_list("subject_hash", flat=True)[:limit])
        deleted, _ = LoginLimit.objects.filter(subject_hash__in=hashes).delete()
    return deleted


def _locked(login: Try) -> tuple[list[LoginLimit], datetime]:
    """Return the try's rows, locked in the order of their hashes, and the time under the lock."""
    subjects = login.subjects()
    new = [LoginLimit(subject_hash=key, kind=kind) for key, kind in subjects.items()]
    LoginLimit.objects.bulk_create(new, ignore_conflicts=True)
    rows = LoginLimit.objects.filter(subject_hash__in=list(subjects)).order_by("subject_hash")
    locked = list(rows.select_for_update(no_key=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return locked, now


def _failures(row: LoginLimit, now: datetime) -> int:
    """Return the failures that are still remembered."""
    is_remembered = (now - row.tried_at).total_seconds() < RULES[row.kind].memory_s
    return row.failures if is_remembered else 0


def _record(action: str, login: Try, operator: str | None, data: dict[str, object]) -> None:
    """Write the event under the name, where it may be told."""
    record(
        action=action,
        subject_type="login",
        subject_id=(operator or "unknown name")[:100],
        organization_id=None,
        actor=f"address:{login.address}"[:150],
        data={"address": login.address, "operator": operator, **data},
    )
