"""The ground that raw SQL attacks run on: two organizations with a hold in every state."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg

from credits.services import commit_reservation, release_reservation
from flagship.services.organizations import create_organization
from tests.factories import make_account, make_hold, make_overdue_hold

TABLES = ("credits_account", "credits_reservation", "credits_entry", "credits_package")


def make_ground() -> dict[str, Any]:
    """Make it; return the names that attacks use as parameters.

    Account `a` holds 1000 - 20 credits with four live holds; `b` belongs to somebody else; `none`
    is an organization without an account.
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
    names |= {"committed": committed, "released": released, "expired": expired}
    names |= {"overdue": overdue, "foreign_expired": lapsed}
    return names


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
