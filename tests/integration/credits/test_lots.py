"""Grants: burnt in order, lapsing in time, never under a hold (C-04, C-05, C-07)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from functools import partial
from typing import Any

import psycopg
import pytest

from credits.errors import InsufficientCredits, ReferenceReused
from credits.models import Draw, Entry, Lot
from credits.payloads import LapseGrants
from credits.selectors import Funds, get_funds
from credits.services import lapse_grants
from flagship.models import AuditEvent
from jobs.registry import get_handler, scheduled
from tests.conftest import ROOT
from tests.factories import make_account, make_grant, make_hold, make_overdue_grant
from tests.integration.credits.acts import audited, commit, refused, release
from tests.ledger import assert_ledger_adds_up
from tests.servers import SERVERS


def left(organization_id: uuid.UUID) -> dict[int, int]:
    """What each grant has left, by the number of its entry."""
    lots = Lot.objects.filter(account__organization_id=organization_id)
    return dict(lots.order_by("seq").values_list("seq", "remaining"))


def spend(organization_id: uuid.UUID, amount: int) -> None:
    commit(organization_id, make_hold(organization_id, amount), amount)


@pytest.mark.django_db
def test_commit__several_grants__burns_by_priority_then_soonest_then_oldest() -> None:
    # C-07, docs/credits.md: the order
    organization = make_account(credits=0)
    paid = make_grant(organization, 10, priority=200)
    never = make_grant(organization, 10)
    late = make_grant(organization, 10, lapses_in_s=7200)
    soon = make_grant(organization, 10, lapses_in_s=3600)
    older = make_grant(organization, 10)
    promo = make_grant(organization, 10, priority=0, lapses_in_s=9999)
    hold = make_hold(organization, 60)

    commit(organization, hold, 45)

    drawn = Draw.objects.filter(seq=Entry.objects.get(kind="commit").seq).order_by("id")
    assert list(drawn.values_list("lot_seq", "amount")) == [
        *((promo, -10), (soon, -10), (late, -10), (never, -10), (older, -5))
    ]
    assert left(organization) == {paid: 10, never: 0, late: 0, soon: 0, older: 5, promo: 0}
    assert get_funds(organization_id=organization) == Funds(15, 0, 15)
    assert_ledger_adds_up()


@pytest.mark.django_db
def test_grant__same_reference__other_terms_are_refused() -> None:
    # C-05
    organization = make_account(credits=0)
    first = make_grant(organization, 10, reference="r", priority=7)

    assert make_grant(organization, 10, reference="r", priority=7) == first
    others: list[dict[str, Any]] = [{"priority": 8}, {"priority": 7, "lapses_in_s": 60}]
    for other in others:
        again = partial(make_grant, organization, 10, reference="r", **other)
        refused(organization, ReferenceReused, again)
    assert audited(organization).count("credits.granted") == 1


@pytest.mark.django_db
@pytest.mark.parametrize("terms", [{"priority": -1}, {"priority": 1001}, {"lapses_in_s": -1}])
def test_grant__on_terms_out_of_range__is_refused(terms: dict[str, Any]) -> None:
    organization = make_account(credits=0)

    with pytest.raises(ValueError, match=r"priority|lapses"):
        make_grant(organization, 10, **terms)


@pytest.mark.django_db
def test_funds__grant_past_its_time__is_gone_before_the_sweep() -> None:
    # C-02 for grants
    organization = make_account(credits=50)
    make_overdue_grant(organization, 100)

    assert get_funds(organization_id=organization) == Funds(50, 0, 50)
    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, 51))
    assert refusal.data["available"] == 50


@pytest.mark.django_db
def test_reserve__grant_past_its_time__lapses_first_and_is_audited() -> None:
    # C-02, C-05
    organization = make_account(credits=50)
    make_overdue_grant(organization, 100)

    hold = make_hold(organization, 50)

    assert hold.available_credits == 0
    assert audited(organization)[-2:] == ["credits.lapsed", "credits.reserved"]
    entry = Entry.objects.get(kind="lapse")
    event = AuditEvent.objects.get(action="credits.lapsed")
    assert (entry.balance_delta, entry.lapsed_delta, entry.original_seq) == (-100, 100, 2)
    assert event.data == {"amount": 100, "entry": entry.seq, "grant": 2}
    assert_ledger_adds_up()


@pytest.mark.django_db
def test_lapse__under_a_hold__takes_only_what_is_free_and_the_rest_later() -> None:
    # C-04: reserved never exceeds the balance
    organization = make_account(credits=0)
    grant = make_grant(organization, 100, lapses_in_s=0.2)
    hold, other = make_hold(organization, 60), make_hold(organization, 10)
    time.sleep(0.21)

    assert lapse_grants() == 1
    assert left(organization) == {grant: 70}
    assert lapse_grants() == 0
    assert get_funds(organization_id=organization) == Funds(70, 70, 0)
    commit(organization, hold, 20)
    # What the hold did not need lapses with the next operation; the other hold keeps its part.
    assert get_funds(organization_id=organization) == Funds(10, 10, 0)
    release(organization, other)
    assert lapse_grants() == 1
    assert left(organization) == {grant: 0}
    account = Entry.objects.filter(kind="lapse").values_list("balance_delta", flat=True)
    assert sum(account) == -80
    assert_ledger_adds_up()


@pytest.mark.django_db
def test_sweep__overdue_grants__lapse_once_on_each_account() -> None:
    # C-05, W-12
    first, second = make_account(credits=10), make_account(credits=0)
    make_overdue_grant(first, 100)
    make_overdue_grant(second, 5)
    make_overdue_grant(second, 6)
    handler = get_handler("credits.lapse_grants")
    no_context: Any = None

    # The second account's own grant has let the one before it lapse only if it was asked to.
    assert handler.function(LapseGrants(limit=1), no_context) == {"lapsed": 1}
    assert lapse_grants() == 2
    assert lapse_grants() == 0

    assert get_funds(organization_id=first) == Funds(10, 0, 10)
    assert get_funds(organization_id=second) == Funds(0, 0, 0)
    assert AuditEvent.objects.filter(action="credits.lapsed").count() == 3
    assert {entry.name: entry.every_s for entry in scheduled()}["credits.lapse-grants"] == 60
    assert_ledger_adds_up()


def test_sweep__account_in_use__is_passed_over(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # SKIP LOCKED on the account
    busy = make_account(credits=0)
    make_overdue_grant(busy, 5)
    with owner_db.transaction():
        owner_db.execute("SELECT 1 FROM credits_account FOR NO KEY UPDATE")
        assert lapse_grants() == 0
    assert lapse_grants() == 1
    assert_ledger_adds_up()


def manage(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": SERVERS.owner_url()},
        check=True,
        timeout=120,
    )


def rules(connection: psycopg.Connection[Any]) -> set[Any]:
    return set(
        connection.execute(
            "SELECT proname || ':' || md5(prosrc || coalesce(proacl::text, '')) FROM pg_proc"
            " WHERE proname LIKE 'credits\\_%' UNION ALL"
            " SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'"
            " AND tgrelid::regclass::text LIKE 'credits_%' UNION ALL"
            " SELECT conname FROM pg_constraint WHERE conrelid::regclass::text LIKE 'credits_%'"
        ).fetchall()
    )


def test_migration__of_a_ledger_without_lots__makes_them_as_if_they_had_been_there(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # C-04: old grants are lots of one priority, burnt oldest first
    one, other = make_account(credits=100), make_account(credits=5)
    make_grant(one, 50)
    spend(one, 70)
    make_grant(one, 10)
    spend(one, 60)
    spend(one, 1)
    commit(one, make_hold(one, 10), 0)
    spend(other, 5)
    query = (
        "SELECT d.account_id, d.seq, d.lot_seq, d.number, d.amount, d.remaining_after, l.remaining"
        " FROM credits_draw d JOIN credits_lot l ON (l.account_id, l.seq) ="
        " (d.account_id, d.lot_seq) ORDER BY 1, 2, 3"
    )
    made, ruled = owner_db.execute(query).fetchall(), rules(owner_db)

    manage("migrate", "credits", "0003", "--verbosity=0")
    gone = owner_db.execute("SELECT to_regclass('credits_lot')").fetchone()
    manage("migrate", "credits", "0004", "--verbosity=0")
    manage("grant_application_role", SERVERS.application)

    assert gone == (None,)
    assert owner_db.execute(query).fetchall() == made
    assert {name for (name,) in rules(owner_db) ^ ruled if ":" not in name} == set()
    assert_ledger_adds_up()
