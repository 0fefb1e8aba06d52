"""Two transactions that meet: in order under the lock, and not without it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from tests.attack.world import SCRATCH
from tests.servers import SERVERS

TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Duel:
    """One transaction has run `first` when another runs `second`, then commits.

    `ends` is how the second must end: whether it waited for the first, and the value that it got
    or the constraint that refused it. `before` is committed ahead of both. All run as the owner.
    """

    lock: str
    what: str
    first: str
    second: str
    ends: tuple[bool, str]
    before: tuple[str, ...] = ()


_GRANT: Final = "SELECT credits_grant(%({0})s, 5, 'r', 'twice')"
_ENTRY: Final = (
    "INSERT INTO credits_entry (account_id, kind, balance_delta)"
    " VALUES (%(account)s, 'grant', 5) RETURNING kind"
)
_NO_STATEMENTS: Final = (
    "ALTER TABLE credits_statement DISABLE TRIGGER credits_statement_append_only",
    "DELETE FROM credits_statement",
    "ALTER TABLE credits_statement ENABLE ALWAYS TRIGGER credits_statement_append_only",
)
_STATEMENT: Final = (
    "INSERT INTO credits_statement (day, accounts, entries, balance, reserved, issued, charged,"
    " lapsed, drifting, digest) VALUES (current_date + {0}, 0, 0, 0, 0, 0, 0, 0, 0, 'd')"
    " RETURNING number"
)
_REPLAY: Final = (
    "INSERT INTO builds_buildevent (build_id, name, seq, state, actor, data)"
    " VALUES (%(deployed)s, 'build.replayed', 0, '', 'duel', '{}') RETURNING name"
)

DUELS: Final = [
    Duel(
        "credits_lock_account",
        "a grant is repeated under its reference while it is made",
        _GRANT.format("a"),
        "SELECT is_new FROM credits_grant(%(a)s, 5, 'r', 'twice')",
        (True, "False"),
    ),
    Duel(
        "credits_entry_fill",
        "two entries are written at once",
        _ENTRY,
        _ENTRY,
        (True, "grant"),
    ),
    Duel(
        "credits_reservation_starts_held",
        "a hold is renewed while it expires",
        "INSERT INTO credits_entry (account_id, kind, reservation_id)"
        " VALUES (%(account)s, 'expire', %(overdue)s)",
        "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id,"
        " expires_at, renews_id) VALUES (%(new)s, %(account)s, 5, 'b', 'b',"
        " now() + interval '1 hour', %(overdue)s) RETURNING state",
        (True, "held"),
    ),
    Duel(
        "credits_extend_reservation",
        "a hold is extended while it is released",
        "SELECT credits_release_reservation(%(a)s, %(held)s, 'x')",
        "SELECT credits_extend_reservation(%(held)s, 3600)",
        (True, "credits_reservation_already_released"),
    ),
    Duel(
        "credits_expire_reservation",
        "an account is swept while it is in use",
        _GRANT.format("a"),
        "SELECT is_expired FROM credits_expire_reservation(%(overdue)s)",
        (False, "False"),
    ),
    Duel(
        "builds_guard_event",
        "a build is replayed twice at once",
        _REPLAY,
        _REPLAY,
        (True, "build.replayed"),
    ),
    Duel(
        "credits_draw_fill",
        "a draw is written by hand while its account is in use",
        _GRANT.format("a"),
        "INSERT INTO credits_draw (account_id, seq, lot_seq, amount) VALUES (%(account)s, 1, 1, 5)",
        (True, "credits_draw_within_entry"),
    ),
    Duel(
        "credits_lapse",
        "an account's grants are swept while it is in use",
        _GRANT.format("b"),
        "SELECT lapsed FROM credits_lapse(%(other)s)",
        (False, "[]"),
    ),
    Duel(
        "credits_freeze_account",
        "an account is frozen while it is charged",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, 5, 'build_123', %(new)s)",
        "SELECT is_new FROM credits_freeze_account(%(account)s, '[]')",
        (True, "True"),
    ),
    Duel(
        "credits_lift_freeze",
        "a freeze is lifted while its account is in use",
        _GRANT.format("b"),
        "SELECT account_id = %(other)s FROM credits_lift_freeze(%(freeze)s, 'x', 'r')",
        (True, "True"),
    ),
    Duel(
        "credits_statement_follows",
        "two statements are written at once",
        _STATEMENT.format(0),
        _STATEMENT.format(1),
        (True, "2"),
    ),
    Duel(
        "credits_write_statement",
        "the statement of one day is written twice at once",
        "SELECT credits_write_statement(current_date - 1, 0)",
        "SELECT is_new FROM credits_write_statement(current_date - 1, 0)",
        (True, "False"),
        _NO_STATEMENTS,
    ),
]


def fight(duel: Duel, names: dict[str, Any], planted: str = "") -> tuple[bool, str]:
    """Run it on the scratch database, `planted` run first; return how the second ended."""
    url = SERVERS.owner_url(SCRATCH)
    ended: list[str] = []
    with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
        for statement in (*duel.before, *filter(None, [planted])):
            second.execute(statement)
        first.execute(duel.first, names)
        thread = threading.Thread(target=lambda: ended.append(_end(second, duel.second, names)))
        thread.start()
        waited = _waits(first, second.info.backend_pid, thread)
        first.commit()
        thread.join(TIMEOUT_S)
    return waited, ended[0]


def _end(connection: psycopg.Connection[Any], statement: str, names: dict[str, Any]) -> str:
    try:
        row = connection.execute(statement, names).fetchone()
    except psycopg.Error as error:
        return error.diag.constraint_name or str(error)
    return str(row[0]) if row else ""


def _waits(first: psycopg.Connection[Any], pid: int, thread: threading.Thread) -> bool:
    """Whether the other waits for a lock, as soon as it does or has ended."""
    until = time.monotonic() + TIMEOUT_S
    while thread.is_alive() and time.monotonic() < until:
        if first.execute("SELECT pg_blocking_pids(%s) <> '{}'", (pid,)).fetchone() == (True,):
            return True
        thread.join(0.005)
    return False
