"""The reconciler: sees every kind of drift, freezes that account alone, chains the days (C-06)."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from credits.errors import CreditAccountFrozen, FreezeNotOpen
from credits.metrics import BROKEN_STATEMENTS, DRIFTING_ACCOUNTS
from credits.models import Account, Freeze, Statement
from credits.payloads import ReconcileCredits
from credits.selectors import broken_statements, days_to_state
from credits.services import (
    Charge,
    charges,
    lift_freeze,
    proof,
    reconcile,
    register_charges,
    reverse_entry,
)
from credits.services.ledger import call_ledger
from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.registry import get_handler, scheduled
from tests.factories import (
    make_account,
    make_grant,
    make_hold,
    make_overdue_grant,
    make_overdue_hold,
)
from tests.integration.credits.acts import commit, release
from tests.ledger import assert_ledger_adds_up
from tests.servers import Servers


@contextmanager
def unguarded(servers: Servers) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection with everything off that guards; triggers are on again after it."""
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        found = superuser.execute(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger"
            " WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'credits_%'"
        ).fetchall()
        superuser.execute("SET session_replication_role = replica")
        for name, table in superuser.execute(
            "SELECT conname, conrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'c' AND conrelid::regclass::text LIKE 'credits_%'"
        ).fetchall():
            superuser.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, table in found:
            superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        try:
            yield superuser
        finally:
            for name, table in found:
                superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def make_busy_account() -> uuid.UUID:
    """An account with an entry of every kind."""
    organization = make_account(credits=1000)
    make_overdue_grant(organization, 50)
    hold = make_hold(organization, 100)
    commit(organization, hold, 80)
    release(organization, make_hold(organization, 30))
    late = make_overdue_hold(organization, 20)
    commit(organization, late, 5)
    make_hold(organization, 10)
    for seq, amount in ((1, 40), (5, 30)):
        reverse_entry(
            organization_id=organization,
            entry_seq=seq,
            amount_credits=amount,
            reason="x",
            actor="t",
            reference=f"r{seq}",
        )
    return organization


def test_reconcile__ledger_that_adds_up__proves_it_and_reads_zero(live_db: None) -> None:
    # C-06
    for _ in range(3):
        make_busy_account()
    make_account(credits=0)

    found = reconcile()

    assert (found.accounts, found.drifting, found.frozen) == (4, {}, [])
    assert found.holds and found.stated == [Statement.objects.get().day]
    assert DRIFTING_ACCOUNTS._value.get() == BROKEN_STATEMENTS._value.get() == 0
    assert not Freeze.objects.exists()
    assert_ledger_adds_up()


A = "account_id = %(account)s"
TAMPERS = {
    "account.balance": "UPDATE credits_account SET balance = balance + 5 WHERE id = %(account)s",
    "account.reserved": "UPDATE credits_account SET reserved = 0 WHERE id = %(account)s",
    "account.issued": "UPDATE credits_account SET issued = issued + 1, balance = balance + 1"
    " WHERE id = %(account)s",
    "account.charged": "UPDATE credits_account SET charged = charged + 1, issued = issued + 1"
    " WHERE id = %(account)s",
    "account.lapsed": "UPDATE credits_account SET lapsed = 0, issued = issued - 50"
    " WHERE id = %(account)s",
    "account.last_seq": "UPDATE credits_account SET last_seq = last_seq - 1 WHERE id = %(account)s",
    "account.entries": f"DELETE FROM credits_entry WHERE {A} AND kind = 'release'",
    "account.held": f"UPDATE credits_reservation SET amount = amount + 1 WHERE {A}"
    " AND state = 'held'",
    "account.lots": f"UPDATE credits_lot SET remaining = remaining - 1 WHERE {A} AND seq = 1",
    "entry.chain": f"UPDATE credits_entry SET balance_before = balance_before + 7,"
    f" balance_after = balance_after + 7 WHERE {A} AND seq = 4",
    "hold.state": f"UPDATE credits_reservation SET state = 'released', charged = NULL WHERE {A}"
    " AND state = 'committed'",
    "lot.remaining": f"UPDATE credits_lot SET priority = 3 WHERE {A} AND seq = 1",
    "entry.draws": f"DELETE FROM credits_draw WHERE {A} AND seq = 5",
    "entry.reversed": f"UPDATE credits_entry SET balance_delta = -29 WHERE {A} AND seq = 5",
}


@pytest.mark.parametrize("rule", TAMPERS)
def test_reconcile__each_kind_of_drift__is_seen_on_that_account_alone(
    live_db: None, servers: Servers, rule: str
) -> None:
    # C-06: a proof must be able to see
    organization, other = make_busy_account(), make_busy_account()
    account = Account.objects.get(organization_id=organization)
    with unguarded(servers) as superuser:
        changed = superuser.execute(TAMPERS[rule], {"account": account.id})
        assert changed.rowcount >= 1

    found = reconcile()

    assert set(found.drifting) == {organization} and found.frozen == [organization]
    assert rule in {finding.rule for finding in found.drifting[organization]}
    assert DRIFTING_ACCOUNTS._value.get() == 1
    freeze = Freeze.objects.get()
    assert freeze.account_id == account.id
    assert rule in {finding["rule"] for finding in freeze.findings}
    event = AuditEvent.objects.get(action="credits.account_frozen")
    assert (event.subject_id, event.actor) == (str(account.id), "system:credits")
    assert commit(other, make_hold(other, 10), 5).charged == 5


def drift(organization_id: uuid.UUID, servers: Servers) -> None:
    with unguarded(servers) as superuser:
        superuser.execute(
            "UPDATE credits_account SET issued = issued + 5, charged = charged + 5"
            " WHERE organization_id = %s",
            (organization_id,),
        )


def test_frozen_account__refuses_commits_and_nothing_else(live_db: None, servers: Servers) -> None:
    # C-06: commits of that account only
    organization = make_account(credits=100)
    hold, committed = make_hold(organization, 10), make_hold(organization, 10)
    first = commit(organization, committed, 7)
    drift(organization, servers)
    assert reconcile().frozen == [organization]

    with pytest.raises(CreditAccountFrozen) as caught:
        commit(organization, hold, 5)

    assert (caught.value.status, caught.value.code) == (409, "CREDIT_ACCOUNT_FROZEN")
    assert commit(organization, committed, 7) == first
    release(organization, make_hold(organization, 3))
    make_grant(organization, 5)
    assert reconcile().frozen == []
    assert Freeze.objects.count() == 1


def test_freeze__lifted__stays_lifted_until_something_else_drifts(
    live_db: None, servers: Servers
) -> None:
    # C-06, D-06
    organization = make_account(credits=100)
    hold = make_hold(organization, 10)
    drift(organization, servers)
    reconcile()
    freeze = Freeze.objects.get()

    with pytest.raises(ValueError, match="reason"):
        lift_freeze(freeze_id=freeze.id, actor="user:ana", reason=" ")
    assert lift_freeze(freeze_id=freeze.id, actor="user:ana", reason="known") == organization
    with pytest.raises(FreezeNotOpen):
        lift_freeze(freeze_id=freeze.id, actor="user:ana", reason="known")

    event = AuditEvent.objects.get(action="credits.freeze_lifted")
    assert (event.actor, event.data) == ("user:ana", {"freeze": freeze.id, "reason": "known"})
    again = reconcile()
    assert (set(again.drifting), again.frozen) == ({organization}, [])
    assert commit(organization, hold, 5).charged == 5
    # The figures have moved with the charge, the drift has not.
    assert reconcile().frozen == []
    drift(organization, servers)
    assert reconcile().frozen == [organization]


def test_reconcile__while_the_ledger_is_used__sees_no_drift(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-06: one snapshot for each batch; accounts beyond a batch are proved too
    monkeypatch.setattr(proof, "BATCH", 2)
    organizations = [make_account(credits=100) for _ in range(5)]

    def work() -> None:
        for organization in organizations:
            commit(organization, make_hold(organization, 3), 2)

    assert reconcile(between=work).accounts == 5
    assert reconcile(between=work).holds
    assert reconcile(organization_id=organizations[0]).accounts == 1


def test_work__matched_to_its_charge__each_difference_is_found(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-06: by what a domain registers, renewed holds included
    monkeypatch.setattr(charges, "_readers", {})
    organization = make_account(credits=1000)
    right, wrong, unpaid = (make_hold(organization, 10) for _ in range(3))
    commit(organization, right, 7)
    commit(organization, wrong, 7)
    late = make_overdue_hold(organization, 10)
    commit(organization, late, 4)
    told = {right: 7, wrong: 8, unpaid: 3, late: 4}

    def read(organization_ids: Any) -> list[Charge]:
        return [
            Charge(f"thing_{charged}", organization, hold.reservation_id, charged)
            for hold, charged in told.items()
            if organization in organization_ids
        ]

    register_charges("thing", read)
    found = reconcile()

    findings = [
        (finding.rule, finding.subject, finding.expected, finding.found)
        for finding in found.drifting[organization]
    ]
    assert findings == [
        ("thing.charge", "thing_3", "3", "None"),
        ("thing.charge", "thing_8", "8", "7"),
    ]


def backdate(servers: Servers, days: int) -> None:
    with unguarded(servers) as superuser:
        for table in ("credits_entry", "credits_lot"):
            superuser.execute(
                f"UPDATE {table} SET created_at = created_at - make_interval(days => {days})"
            )


def test_statements__day_after_day__follow_from_the_entries_and_from_each_other(
    live_db: None, servers: Servers
) -> None:
    # C-06, J-5
    make_busy_account()
    backdate(servers, 3)
    yesterday = days_to_state()[-1]
    for days_ago in (4, 3):
        call_ledger("credits_write_statement", yesterday - timedelta(days=days_ago), 0)
    assert days_to_state() == [yesterday - timedelta(days=ago) for ago in (2, 1, 0)]

    stated = reconcile().stated

    assert stated == [yesterday - timedelta(days=ago) for ago in (2, 1, 0)]
    assert reconcile().stated == []
    statements = list(Statement.objects.order_by("number"))
    assert [each.number for each in statements] == [0, 1, 2, 3, 4]
    assert [each.previous_hash for each in statements[1:]] == [each.hash for each in statements[:4]]
    account = Account.objects.get()
    last = statements[-1]
    assert (statements[0].accounts, last.accounts, last.entries) == (0, 1, account.last_seq + 1)
    assert (last.balance, last.reserved, last.issued, last.charged, last.lapsed) == (
        *(account.balance, account.reserved, account.issued, account.charged, account.lapsed),
    )
    assert broken_statements() == []


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        ("UPDATE credits_statement SET drifting = 9 WHERE number = 1", 1),
        ("UPDATE credits_statement SET previous_hash = 'x' WHERE number = 1", 2),
        ("DELETE FROM credits_statement WHERE number = 0", 2),
        ("UPDATE credits_entry SET charged_delta = charged_delta + 1 WHERE seq = 5", 1),
        ("UPDATE credits_entry SET created_at = now() WHERE seq = 5", 1),
    ],
)
def test_statements__tampered_with__are_named(
    live_db: None, servers: Servers, tamper: str, broken: int
) -> None:
    # C-06: as superuser, with every guard off
    make_busy_account()
    backdate(servers, 3)
    yesterday = days_to_state()[-1]
    for days_ago in (2, 1, 0):
        call_ledger("credits_write_statement", yesterday - timedelta(days=days_ago), 0)
    assert broken_statements() == []
    with unguarded(servers) as superuser:
        superuser.execute(tamper)

    found = reconcile()

    assert len(found.broken_statements) >= broken and not found.holds
    assert BROKEN_STATEMENTS._value.get() == len(found.broken_statements)


def test_statements__of_a_large_ledger__get_the_time_that_proofs_get(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-06: the digest of a day reads every entry, which takes longer than a request may
    make_account(credits=5)
    allowed = []

    def look() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            allowed.append(cursor.fetchone()[0])
        return broken_statements()

    monkeypatch.setattr(proof, "broken_statements", look)

    assert reconcile().holds
    assert allowed == ["10min"]


def test_command__reconcile_credits__tells_and_exits_1_on_drift(
    live_db: None, servers: Servers
) -> None:
    # C-06
    organization, other = make_account(credits=5), make_account(credits=5)
    out = io.StringIO()
    call_command("reconcile_credits", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["holds"], told["accounts"], told["drifting"]) == (True, 2, {})
    assert told["stated"] == [(date.fromisoformat(told["stated"][0])).isoformat()]

    drift(organization, servers)
    out = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("reconcile_credits", "--json", stdout=out)
    told = json.loads(out.getvalue())
    org = public_id("org", organization)
    assert (told["holds"], told["frozen"], list(told["drifting"])) == (False, [org], [org])
    assert {each["rule"] for each in told["drifting"][org]} == {"account.issued", "account.charged"}
    out = io.StringIO()
    call_command("reconcile_credits", "--organization", public_id("org", other), stdout=out)
    assert "no drift" in out.getvalue()


def test_handler__of_the_reconciler__is_scheduled_each_hour(live_db: None) -> None:
    # C-06, W-12
    class Context:
        def check(self) -> None:
            return None

    context: Any = Context()
    make_account(credits=5)

    result = get_handler("credits.reconcile").function(ReconcileCredits(), context)

    assert result is not None and result["holds"] and result["accounts"] == 1
    assert {each.name: each.cron for each in scheduled()}["credits.reconcile"] == "12 * * * *"
