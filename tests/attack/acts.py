"""What a legal statement must bring about: the guards that write instead of refusing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg


@dataclass(frozen=True, slots=True)
class Act:
    """A statement that must pass, and a query that is true afterwards."""

    does: str
    statement: str
    then: str


ACTS: Final = [
    Act(
        "an account starts with its first entry",
        "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(none)s)",
        "SELECT count(*) = 1 FROM credits_entry WHERE account_id = %(new)s AND kind = 'open'",
    ),
    Act(
        "a hold has its entry",
        "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id,"
        " expires_at) VALUES (%(new)s, %(account)s, 7, 'b', 'b', now() + interval '1 hour')",
        "SELECT count(*) = 1 FROM credits_entry JOIN credits_account a ON a.id = account_id"
        " WHERE reservation_id = %(new)s AND reserved_delta = 7 AND reserved_after = a.reserved"
        " AND seq = a.last_seq",
    ),
    Act(
        "an entry moves its account",
        "INSERT INTO credits_entry (account_id, kind, balance_delta, reason)"
        " VALUES (%(account)s, 'grant', 7, 'act')",
        "SELECT count(*) = 1 FROM credits_entry JOIN credits_account a ON a.id = account_id"
        " WHERE account_id = %(account)s AND reason = 'act' AND seq = a.last_seq"
        " AND balance_after = a.balance",
    ),
    Act(
        "an entry resolves its hold",
        "INSERT INTO credits_entry (account_id, kind, reservation_id)"
        " VALUES (%(account)s, 'release', %(held)s)",
        "SELECT state = 'released' FROM credits_reservation WHERE id = %(held)s",
    ),
    Act(
        "a build remembers what it was, leaves its transition and its limit",
        "UPDATE builds_build SET state = 'cancelled', moved_by = 'act', slot = NULL, fence = NULL,"
        " finished_at = now() WHERE id = %(building)s",
        "SELECT previous_state = 'building' AND max_active IS NULL AND EXISTS (SELECT FROM"
        " builds_buildtransition WHERE build_id = %(building)s AND to_state = 'cancelled')"
        " FROM builds_build WHERE id = %(building)s",
    ),
    Act(
        "a build tells what happened",
        "UPDATE builds_build SET cancel_requested_by = 'act' WHERE id = %(building)s",
        "SELECT count(*) = 1 FROM builds_buildevent WHERE build_id = %(building)s"
        " AND name = 'build.cancel_requested' AND actor = 'act'",
    ),
    Act(
        "a project counts its changes",
        "UPDATE builds_project SET name = 'act', revision = 99 WHERE id = %(empty_project)s",
        "SELECT revision = 2 FROM builds_project WHERE id = %(empty_project)s",
    ),
]


def fails(connection: psycopg.Connection[Any], act: Act, names: dict[str, Any]) -> str:
    """Do it and undo it; say why it is not as it must be, "" where it is."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(act.statement, names)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            row = connection.execute(act.then, names).fetchone()
            return "" if row == (True,) else f"{act.does}: {row}"
    except psycopg.Error as error:
        return f"{act.does}: {error}"
