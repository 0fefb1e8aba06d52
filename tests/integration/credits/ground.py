"""The ground that raw SQL attacks run on: two organizations with a hold in every state."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

import psycopg

from credits.models import Account, Entry, Freeze
from credits.services import commit_reservation, release_reservation, reverse_entry
from credits.services.ledger import call_ledger
from flagship.services.organizations import create_organization
from tests.factories import make_account, make_hold, make_overdue_grant, make_overdue_hold

TABLES = (
    *("credits_account", "credits_reservation", "credits_entry", "credits_package"),
    *("credits_lot", "credits_draw", "credits_statement", "credits_freeze"),
)


def make_ground() -> dict[str, Any]:
    """Make it; return the names that attacks use as parameters.

    Account `a` holds 1000 - 20 credits with four live holds; `b` belongs to somebody else, has a
    grant past its time and is frozen; `none` is an organization without an account. There is a
    statement of yesterday.
    """
    a, b = make_account(credits=1000), make_account(credits=500)
    names: dict[str, Any] = {
        "a": a,
        "b": b,
        "none": create_organization(name="No account").id,
        "held": make_hold(a, 100, reference="taken").reservation_id,
        "held2": make_hold(a, 50).reservation_id,
        "foreign": make_hold(b, 70).reservation_id,
        "new": uuid.uuid4(),
    }
    committed = make_hold(a, 30).reservation_id
    commit_reservation(reservation_id=committed, organization_id=a, actual_credits=20, actor="t")
    released = make_hold(a, 40).reservation_id
    release_reservation(reservation_id=released, organization_id=a, reason="x", actor="t")
    lapsed = make_overdue_hold(b, 5).reservation_id
    expired = make_overdue_hold(a, 60).reservation_id
    # The next operation on an account expires its overdue holds.
    make_hold(a, 25)
    make_hold(b, 25)
    overdue = make_overdue_hold(a, 80).reservation_id
    names["charge"] = Entry.objects.get(reservation=committed, kind="commit").seq
    reverse_entry(
        organization_id=b, entry_seq=1, amount_credits=10, reason="x", actor="t", reference="undone"
    )
    names["overdue_grant"] = make_overdue_grant(b, 40)
    names["freeze"] = _freeze(b)
    call_ledger("credits_write_statement", date.today() - timedelta(days=1), 0)
    names |= {"committed": committed, "released": released, "expired": expired}
    names |= {"overdue": overdue, "foreign_expired": lapsed}
    return names


def _freeze(organization_id: uuid.UUID) -> int:
    account = Account.objects.get(organization_id=organization_id)
    call_ledger("credits_freeze_account", account.id, '[{"rule": "ground"}]')
    return Freeze.objects.get(account=account).id


def complete(connection: psycopg.Connection[Any], names: dict[str, Any]) -> dict[str, Any]:
    """Add the accounts' ids."""
    rows = connection.execute("SELECT organization_id, id FROM credits_account").fetchall()
    accounts = dict(rows)
    return {**names, "account": accounts[names["a"]], "other": accounts[names["b"]]}


def fingerprint(connection: psycopg.Connection[Any]) -> list[Any]:
    """Everything in the tables of credits, in a form that compares."""
    return [
        connection.execute(
            f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM public.{table} t"
        ).fetchone()
        for table in TABLES
    ]
