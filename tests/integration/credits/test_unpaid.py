"""A commit that comes too late and is refused: nobody must miss it (C-03)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from credits.errors import ReservationExpired
from credits.metrics import LATE_COMMITS
from credits.models import Entry
from credits.selectors import get_funds
from credits.services import alerts
from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.trace import Trace, bind_trace
from tests.asserts import assert_refused
from tests.factories import make_account, make_hold, make_overdue_hold
from tests.integration.credits.acts import commit
from tests.ledger import assert_ledger_adds_up

UNPAID = "credits.commit_refused_expired"


def test_commit__overdue_and_credits_gone__is_refused_with_an_alert_that_stays(
    live_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    # C-03: log line, counter, and an audit event although the refusal's transaction is rolled back
    organization = make_account(credits=150)
    hold = make_overdue_hold(organization)
    make_hold(organization, 100)
    before = LATE_COMMITS.labels("refused")._value.get()
    entries, funds = Entry.objects.count(), get_funds(organization_id=organization)

    for _ in range(2):
        with (
            pytest.raises(ReservationExpired) as caught,
            bind_trace(Trace("req_1", "night-1")),
            transaction.atomic(),
        ):
            commit(organization, hold, 51)

    assert (caught.value.status, caught.value.code) == (409, "RESERVATION_EXPIRED")
    assert LATE_COMMITS.labels("refused")._value.get() == before + 2
    reservation = public_id("res", hold.reservation_id)
    assert f"reservation.commit_refused_expired reservation={reservation}" in caplog.text
    event = AuditEvent.objects.get(action=UNPAID)
    assert (event.subject_type, event.subject_id) == ("reservation", reservation)
    assert (event.organization_id, event.data) == (organization, {"unpaid": 51})
    assert (event.request_id, event.correlation_id) == ("req_1", "night-1")
    assert (Entry.objects.count(), get_funds(organization_id=organization)) == (entries, funds)
    assert commit(organization, hold, 50).new_balance == 0
    assert_ledger_adds_up()


def test_commit__late_over_the_api__is_409_and_leaves_the_alert(live_db: None, api: Any) -> None:
    # C-03
    organization = api.organization.id
    hold = make_overdue_hold(organization, 900)
    make_hold(organization, 950)

    response = api.post(
        "/v1/credits/commit",
        {"reservationId": public_id("res", hold.reservation_id), "actualCredits": 900},
    )

    refusal = assert_refused(response, 409, "RESERVATION_EXPIRED")
    assert refusal["data"] == {"required": 900, "available": 50}
    event = AuditEvent.objects.get(action=UNPAID)
    assert event.actor == f"api_key:{api.api_key.prefix}"
    assert event.request_id == response.headers["x-request-id"]
    assert Entry.objects.filter(kind__in=["commit", "expire"]).count() == 1


def test_alert__that_cannot_be_stored__is_logged_and_the_refusal_stands(
    live_db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-03
    organization = make_account(credits=150)
    hold = make_overdue_hold(organization)
    make_hold(organization, 100)

    def fail(**_: Any) -> None:
        raise RuntimeError("no audit today")

    monkeypatch.setattr(alerts, "record", fail)

    with pytest.raises(ReservationExpired):
        commit(organization, hold, 51)

    assert "credits.alert_failed" in caplog.text and "no audit today" in caplog.text
    assert not AuditEvent.objects.filter(action=UNPAID).exists()
