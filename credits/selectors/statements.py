"""Which daily statements are due, and whether those there are still follow from the entries."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Final

from django.db import connection

from credits.models import Statement

# A run catches up on so many days at most; each reads every entry up to its end.
DAYS_AT_ONCE: Final = 31
_HASHED: Final = (
    *("accounts", "entries", "balance", "reserved", "issued", "charged", "lapsed"),
    *("drifting", "digest", "previous_hash"),
)


def days_to_state() -> list[date]:
    """Return the days that are over and have no statement yet, oldest first.

    The first statement ever is yesterday's. A day is over five minutes after midnight (UTC), by
    the database's clock: no transaction of it can still be on its way.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ((clock_timestamp() - interval '5 minutes') AT TIME ZONE 'UTC')::date - 1"
        )
        yesterday: date = cursor.fetchone()[0]
    last = Statement.objects.order_by("-number").values_list("day", flat=True).first()
    first = yesterday if last is None else last + timedelta(days=1)
    days = min((yesterday - first).days + 1, DAYS_AT_ONCE)
    return [first + timedelta(days=number) for number in range(days)]


def broken_statements() -> list[str]:
    """Check the chain of all statements and the digest of the latest; say what does not hold.

    The hashes are worked out here, apart from the trigger that wrote them.
    """
    problems: list[str] = []
    previous = ""
    latest: Statement | None = None
    for number, statement in enumerate(Statement.objects.order_by("number").iterator()):
        if statement.number != number or statement.previous_hash != previous:
            problems.append(f"{statement.day}: does not follow the statement before it")
        if statement.hash != _hash_of(statement):
            problems.append(f"{statement.day}: is not what its hash says")
        previous, latest = statement.hash, statement
    if latest is not None and _digest_of(latest.day) != latest.digest:
        problems.append(f"{latest.day}: the entries are not those it was written from")
    return problems


def _hash_of(statement: Statement) -> str:
    parts = [statement.number, statement.day.isoformat()]
    parts += [getattr(statement, name) for name in _HASHED]
    # concat_ws leaves out nothing but NULL: an empty text keeps its place.
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()


def _digest_of(day: date) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM credits_digest(%s)", [day])
        return str(cursor.fetchone()[0])
