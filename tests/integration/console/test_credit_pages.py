"""What the console draws and adds up of credits (C-06, C-07, B-10)."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.models import CreditDay, SegmentDay
from credits.models import Account, Freeze
from credits.selectors import Finding, list_balances
from credits.services import open_account
from credits.services.ledger import call_ledger
from credits.services.proof import Reconciled
from flagship.services.organizations import create_organization
from jobs.models import Job, Schedule, ScheduleRun
from tests.factories import make_account, make_grant, make_hold, make_overdue_hold
from tests.integration.console.rows import browser_of
from tests.integration.credits.acts import commit

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    """May see everything."""
    return browser_of(User.objects.create_superuser("root", password="x"))


def page(client: Client, address: str) -> str:
    response = client.get(f"/admin/{address}")
    assert response.status_code == 200
    return response.content.decode()


# --- the balance over time --------------------------------------------------------------------


def test_balances__of_an_account__are_those_of_its_entries_at_each_moment() -> None:
    # C-07
    organization = make_account(credits=100)
    commit(organization, make_hold(organization, 30), 30)
    middle = datetime.now(UTC)
    make_hold(organization, 50)
    end = datetime.now(UTC)

    points = list_balances(
        organization_id=organization,
        since=middle - timedelta(hours=1),
        until=middle + timedelta(hours=1),
        points=3,
    )
    last = list_balances(organization_id=organization, since=middle, until=end, points=2)

    assert [(p.balance, p.reserved) for p in points] == [(None, None), (70, 0), (70, 50)]
    assert [p.at - middle for p in points] == [timedelta(hours=h) for h in (-1, 0, 1)]
    assert (last[-1].balance, last[-1].reserved) == (70, 50)
    assert list_balances(organization_id=uuid.uuid4(), since=middle, until=end, points=2) == []


@pytest.mark.parametrize(
    ("query", "days"),
    [("", 30), ("?days=7", 7), ("?days=1", 1), ("?days=1000", 30), ("?days=x", 30)],
)
def test_account__on_its_page__draws_its_balance(root: Client, query: str, days: int) -> None:
    # C-07
    organization = make_account(credits=1000)
    make_hold(organization, 150)
    account = Account.objects.get(organization_id=organization)

    shown = page(root, f"credits/account/{account.pk}/change/{query}")

    label = f"over the last {days} days: now 1,000 credits, 150 of them held"
    assert label in shown
    drawn = {
        name: re.search(rf'fs-line-{name}" d="M([^"]+)"', shown) for name in ("balance", "reserved")
    }
    assert drawn["balance"] is not None and drawn["balance"][1].endswith("V0.0")
    assert drawn["reserved"] is not None and drawn["reserved"][1].endswith("V136.0")


def test_account__however_many_its_entries__is_drawn_with_one_query(
    root: Client, django_assert_max_num_queries: Any
) -> None:
    # C-07
    organization = make_account()
    for _ in range(30):
        make_grant(organization, 1)
    account = Account.objects.get(organization_id=organization)

    with django_assert_max_num_queries(20):
        page(root, f"credits/account/{account.pk}/change/")


# --- holds ------------------------------------------------------------------------------------


def test_reservations__that_are_live__show_the_time_they_have_left(root: Client) -> None:
    # C-07
    organization = make_account()
    make_hold(organization, 10, expires_in_s=600.0)

    shown = page(root, "credits/reservation/?state=held")

    assert re.search(r'max="600" value="(59\d|600)"', shown)
    assert "of 10 min" in shown


def test_reservations__that_are_overdue_or_over__have_none(root: Client) -> None:
    # C-07
    organization = make_account()
    commit(organization, make_hold(organization, 10), 10)
    make_overdue_hold(organization)

    shown = page(root, "credits/reservation/")

    assert shown.count("<progress") == 1 and "0 ms of 10 ms" in shown and "overdue" in shown


# --- the reconciler ---------------------------------------------------------------------------


def passed(result: dict[str, Any], *, hours_ago: float = 0.0, state: str = "succeeded") -> Job:
    """Let the schedule's pass have ended so."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    Schedule.objects.get_or_create(
        name="credits.reconcile",
        defaults={"kind": "credits.reconcile", "cron": "12 * * * *", "next_run_at": at},
    )
    job = Job.objects.create(
        kind="credits.reconcile",
        queue="flagship:maintenance",
        payload={},
        timeout_s=60.0,
        state=state,
        attempts=1,
        lease_token=1,
        started_at=at,
        finished_at=at,
        result=result or None,
    )
    ScheduleRun.objects.create(
        schedule="credits.reconcile", planned_at=at, outcome="enqueued", job_id=job.id
    )
    return job


def test_report__of_a_pass_that_proved_everything__says_so(root: Client) -> None:
    # C-06: the very words that the reconciler leaves
    passed(Reconciled(accounts=1, took_s=0.2).to_json())

    report = page(root, "credits/statement/").partition('aria-label="Reconciliation"')[2]

    assert "proven" in report and ">drift<" not in report
    assert re.search(r"Accounts proven</dt><dd>1<", report)
    assert re.search(r"Drifting</dt><dd>0<", report)
    assert "/admin/jobs/schedule/" in report


def test_report__of_drift__names_it_on_both_pages(root: Client) -> None:
    # C-06
    other = create_organization(name="Other")
    account = open_account(organization_id=other.id)
    finding = Finding("account.balance", "", "5", "7")
    call_ledger("credits_freeze_account", account.id, json.dumps([asdict(finding)]))
    broken = ["2026-11-20: is not what its hash says"]
    passed(Reconciled(accounts=3).to_json(), hours_ago=1)
    passed(Reconciled(3, {other.id: [finding]}, broken_statements=broken).to_json())

    report = page(root, "credits/statement/").partition('aria-label="Reconciliation"')[2]
    overview = page(root, "overview/")

    assert broken[0] in report and Freeze.objects.count() == 1
    assert re.findall(r">\s*(drift|proven)\s*<", report) == ["drift", "drift", "proven"]
    assert "The latest pass of the reconciler found drift" in overview
    assert "Accounts frozen because they drift: 1" in overview


def test_overview__of_credits_that_nobody_proved_for_hours__warns(root: Client) -> None:
    # C-06
    passed(Reconciled(accounts=1).to_json(), hours_ago=2)
    assert "not been proven" not in page(root, "overview/")

    Job.objects.update(finished_at=datetime.now(UTC) - timedelta(hours=4))

    assert "Credits have not been proven for hours" in page(root, "overview/")


# --- usage ------------------------------------------------------------------------------------


def used(organization_id: uuid.UUID, day: date, operation: str, entries: int, credits: int) -> None:
    """Let a day have been rolled up so."""
    CreditDay.objects.create(
        organization_id=organization_id,
        day=day,
        operation=operation,
        entries=entries,
        credits=credits,
    )
    SegmentDay.objects.create(
        day=day,
        segment=f"light-{uuid.uuid4().hex[:8]}",
        operation=operation,
        organizations=1,
        entries=entries,
        credits=credits,
    )


def sums(client: Client, query: str = "") -> dict[str, tuple[int, int]]:
    """Entries and credits by operation, as the page says."""
    card = page(client, f"builds/creditday/{query}").partition('aria-label="Usage by operation"')[2]
    rows = re.findall(
        r'<tr><td>(\w+)</td><td class="fs-right">([\d,]+)</td><td class="fs-right">([\d,]+)</td>',
        card.partition("</section>")[0],
    )
    return {name: (_number(entries), _number(credits)) for name, entries, credits in rows}


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def test_usage__by_operation__is_added_up_for_one_and_for_all(root: Client) -> None:
    # B-10, C-07
    ours, theirs = create_organization(name="Acme Bakery"), create_organization(name="Other")
    today = datetime.now(UTC).date()
    used(ours.id, today, "commit", 3, 90)
    used(ours.id, today - timedelta(days=1), "commit", 1, 10)
    used(ours.id, today - timedelta(days=40), "commit", 7, 700)
    used(theirs.id, today, "grant", 1, 1000)

    assert sums(root) == {"grant": (1, 1000), "commit": (4, 100)}
    assert sums(root, "?organization=acme") == {"commit": (4, 100)}
    assert sums(root, "?days=90&organization=acme") == {"commit": (11, 800)}
    assert "name one" in page(root, "builds/creditday/?organization=nobody")
    assert "the last 30 days: 100 in all" in page(root, "builds/creditday/?organization=acme")
