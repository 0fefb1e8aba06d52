"""Credits at the console: granted, reversed, thawed, each by its own permission (C-07, D-06)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client

from credits.models import Account, Entry, Freeze
from credits.selectors import Funds, get_funds
from credits.services.ledger import call_ledger
from flagship.models import AuditEvent
from tests.factories import make_account, make_grant, make_hold
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said
from tests.integration.credits.acts import commit
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db
ROOT = "/admin/credits"


@pytest.fixture
def organization() -> uuid.UUID:
    """Has 100 credits, 30 of them charged."""
    found = make_account(credits=100)
    commit(found, make_hold(found, 30), 30)
    return found


@pytest.fixture
def keeper() -> Client:
    """May see everything of credits, grant, reverse and lift."""
    views = [
        f"credits.view_{name}" for name in ("account", "entry", "lot", "freeze", "reservation")
    ]
    acts = ["credits.grant_credits", "credits.reverse_entry", "credits.lift_freeze"]
    return browser_of(make_operator(*views, *acts))


@pytest.fixture
def viewer() -> Client:
    """May only look."""
    views = [f"credits.view_{name}" for name in ("account", "entry", "lot", "freeze")]
    return browser_of(make_operator(*views, name="vic"))


def account_of(organization: uuid.UUID) -> Account:
    return Account.objects.get(organization_id=organization)


def grant(client: Client, organization: uuid.UUID, **changes: Any) -> Any:
    form = {"amount": 50, "priority": 10, "lapses_at": "2999-01-01 00:00", "reason": "sorry"}
    address = f"{ROOT}/account/{account_of(organization).pk}/grant/"
    return client.post(address, {**form, "reference": "f1", **changes})


def test_grant__from_the_form__is_one_entry_however_often_it_is_sent(
    keeper: Client, organization: uuid.UUID
) -> None:
    # C-07
    grant(keeper, organization)
    second = grant(keeper, organization)

    entry = Entry.objects.get(kind="grant", reason="sorry")
    assert (entry.balance_delta, entry.priority) == (50, 10)
    assert entry.lapses_at is not None and entry.lapses_at.year == 2999
    assert "Granted 50" in said(second)
    event = AuditEvent.objects.get(action="credits.granted", actor="user:ana")
    assert event.data["reason"] == "sorry"
    page = keeper.get(f"{ROOT}/account/{account_of(organization).pk}/change/").content.decode()
    assert "grant-form" in page and f"#{entry.seq}" in page
    assert_ledger_adds_up()


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": ""},
        {"priority": 1001},
        {"reason": " "},
        {"lapses_at": "soon"},
        {"lapses_at": "2001-01-01"},
        {"reference": ""},
    ],
)
def test_grant__from_a_form_that_makes_no_sense__changes_nothing(
    keeper: Client, organization: uuid.UUID, changes: dict[str, Any]
) -> None:
    # C-07
    answer = grant(keeper, organization, **changes)

    assert "Nothing done" in said(answer)
    assert get_funds(organization_id=organization) == Funds(70, 0, 70)


def test_reversal__from_the_form__undoes_once(keeper: Client, organization: uuid.UUID) -> None:
    # C-07
    charge = Entry.objects.get(kind="commit")
    address = f"{ROOT}/entry/{charge.pk}/"
    form = {"amount": 20, "reason": "built twice", "reference": "f2"}

    assert "reverse-form" in keeper.get(f"{address}change/").content.decode()
    keeper.post(f"{address}reverse/", form)
    assert "Reversed 20" in said(keeper.post(f"{address}reverse/", form))
    too_much = keeper.post(f"{address}reverse/", {**form, "reference": "f3"})
    no_reason = keeper.post(f"{address}reverse/", {"reason": "", "reference": "f4"})

    assert "Nothing done" in said(too_much) and "Nothing done" in said(no_reason)
    reversal = Entry.objects.get(kind="reversal")
    assert (reversal.balance_delta, reversal.reason) == (20, "built twice")
    shown = keeper.get(f"{ROOT}/entry/{reversal.pk}/change/").content.decode()
    assert f"#{charge.seq} commit" in shown and "reverse-form" not in shown
    assert AuditEvent.objects.get(action="credits.reversed").actor == "user:ana"
    assert_ledger_adds_up()


def test_freeze__lifted_from_the_form__lets_charges_through(
    keeper: Client, organization: uuid.UUID
) -> None:
    # C-06
    hold = make_hold(organization, 5)
    call_ledger("credits_freeze_account", account_of(organization).pk, "[]")
    freeze = Freeze.objects.get()
    address = f"{ROOT}/freeze/{freeze.pk}/"

    assert "frozen" in keeper.get(f"{ROOT}/account/").content.decode()
    assert "Nothing done" in said(keeper.post(f"{address}lift/", {"reason": ""}))
    keeper.post(f"{address}lift/", {"reason": "explained in ticket 7"})
    again = keeper.post(f"{address}lift/", {"reason": "again"})

    assert "Nothing done" in said(again)
    freeze.refresh_from_db()
    assert (freeze.lifted_by, freeze.lift_reason) == ("user:ana", "explained in ticket 7")
    assert commit(organization, hold, 5).charged == 5


def test_actions__of_a_viewer__are_403_and_not_offered(
    viewer: Client, organization: uuid.UUID
) -> None:
    # D-06
    charge = Entry.objects.get(kind="commit")
    call_ledger("credits_freeze_account", account_of(organization).pk, "[]")
    freeze = Freeze.objects.get()
    before = list(Entry.objects.values_list("pk", flat=True))

    answers = [
        grant(viewer, organization),
        viewer.post(f"{ROOT}/entry/{charge.pk}/reverse/", {"reason": "x", "reference": "y"}),
        viewer.post(f"{ROOT}/freeze/{freeze.pk}/lift/", {"reason": "x"}),
    ]
    pages = [
        f"{ROOT}/account/{account_of(organization).pk}/change/",
        f"{ROOT}/entry/{charge.pk}/change/",
        f"{ROOT}/freeze/{freeze.pk}/change/",
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    for page in pages:
        shown = viewer.get(page)
        assert shown.status_code == 200
        text = shown.content.decode()
        assert [f for f in ("grant-form", "reverse-form", "lift-form") if f in text] == []
    assert list(Entry.objects.values_list("pk", flat=True)) == before


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_statement__of_an_account__is_downloaded_by_who_may_see_it(
    viewer: Client, organization: uuid.UUID, form: str
) -> None:
    # C-07
    make_grant(make_account(credits=0), 7, reference="of-another")
    account = account_of(organization)
    address = f"{ROOT}/account/{account.pk}/statement.{form}"

    answer: Any = viewer.get(address)
    text = b"".join(answer.streaming_content).decode()

    assert answer.status_code == 200 and "attachment" in answer["Content-Disposition"]
    assert "commit" in text and "of-another" not in text
    assert address in viewer.get(f"{ROOT}/account/{account.pk}/change/").content.decode()
    assert viewer.get(f"{ROOT}/account/{account.pk}/statement.xls").status_code == 404
    assert viewer.post(address).status_code == 405
    nobody = browser_of(make_operator("credits.view_entry", name="nobody"))
    assert nobody.get(address).status_code == 403
