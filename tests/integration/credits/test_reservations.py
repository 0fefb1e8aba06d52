"""Reserve, commit, release, extend: the services and their audit events."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from credits.errors import (
    AccountNotFound,
    InsufficientCredits,
    ReferenceReused,
    ReservationAlreadyCommitted,
    ReservationAlreadyReleased,
    ReservationNotFound,
    ReservationSubjectMismatch,
)
from credits.models import Entry, Reservation
from credits.selectors import Funds, get_funds
from credits.services import (
    Hold,
    extend_reservation,
    grant_credits,
    open_account,
    reserve_credits,
    reserve_each,
)
from flagship.models import AuditEvent
from flagship.services.audit import event_values
from jobs.errors import Refusal
from jobs.ids import public_id
from tests.factories import make_account, make_hold, make_overdue_hold
from tests.integration.credits.acts import audited, commit, refused, release
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


# C-01
def test_reserve__enough_available__holds_for_thirty_minutes() -> None:
    organization = make_account(credits=600)

    hold = make_hold(organization, 150, user_id="user_456")

    in_s = (hold.expires_at - datetime.now(UTC)).total_seconds()
    assert 1795 < in_s <= 1800
    assert (hold.amount_credits, hold.available_credits) == (150, 450)
    assert get_funds(organization_id=organization) == Funds(600, 150, 450)
    row = Reservation.objects.get(id=hold.reservation_id)
    assert (row.state, row.subject_type, row.subject_id) == ("held", "build", "build_123")
    assert row.user_id == "user_456"
    assert_ledger_adds_up()


def reserve_two(organization: uuid.UUID, first: int, second: int, **options: Any) -> Any:
    return reserve_each(
        organization_id=organization,
        holds=[Hold(first, "build_1"), Hold(second, "build_2")],
        subject_type="build",
        actor="test",
        **options,
    )


# C-01, C-05, B-07
def test_reserve_each__enough_for_all__makes_what_one_by_one_would_make() -> None:
    organization = make_account(credits=600)

    made = reserve_two(organization, 150, 50)

    assert [each.amount_credits for each in made] == [150, 50]
    assert [each.available_credits for each in made] == [450, 400]
    rows = [Reservation.objects.get(id=each.reservation_id) for each in made]
    assert [row.subject_id for row in rows] == ["build_1", "build_2"]
    assert {(row.state, row.subject_type, row.user_id) for row in rows} == {("held", "build", "")}
    assert get_funds(organization_id=organization) == Funds(600, 200, 400)
    events = AuditEvent.objects.filter(action="credits.reserved").order_by("id")
    assert list(events.values_list("subject_id", "actor", "organization_id", "data")) == [
        (
            public_id("res", row.id),
            "test",
            organization,
            {"amount": row.amount, "subject": f"build {row.subject_id}", "userId": ""},
        )
        for row in rows
    ]
    one_by_one = make_hold(organization, 10, subject_id="build_3")
    by_itself = AuditEvent.objects.get(subject_id=public_id("res", one_by_one.reservation_id))
    assert by_itself.data == {"amount": 10, "subject": "build build_3", "userId": ""}
    assert_ledger_adds_up()


# C-01
def test_reserve_each__too_few_for_the_last__holds_nothing() -> None:
    organization = make_account(credits=160)

    with pytest.raises(InsufficientCredits), transaction.atomic():
        reserve_two(organization, 150, 11)

    assert get_funds(organization_id=organization) == Funds(160, 0, 160)
    assert not AuditEvent.objects.filter(action="credits.reserved").exists()
    for options in ({"expires_in_s": 0}, {"expires_in_s": 1e9}):
        with pytest.raises(ValueError, match="longer than no time"):
            reserve_two(organization, 1, 1, **options)
    with pytest.raises(ValueError, match="credits"):
        reserve_two(organization, 1, 0)


# C-02, C-05
def test_reserve_each__beside_an_overdue_hold__expires_it_once_and_tells_of_it_first() -> None:
    organization = make_account(credits=200)
    overdue = make_overdue_hold(organization, 150)

    reserve_two(organization, 150, 50)

    actions = AuditEvent.objects.filter(subject_type="reservation").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        *("credits.reserved", "credits.reservation_expired"),
        *("credits.reserved", "credits.reserved"),
    ]
    assert Reservation.objects.get(id=overdue.reservation_id).state == "expired"
    assert_ledger_adds_up()


# C-01, the seed's figures
def test_commit__less_than_reserved__refunds_the_rest() -> None:
    organization = make_account(credits=570)
    hold = make_hold(organization, 150)

    done = commit(organization, hold, 120)

    assert (done.charged, done.refunded, done.new_balance) == (120, 30, 450)
    assert get_funds(organization_id=organization) == Funds(450, 0, 450)
    assert_ledger_adds_up()


# C-01, the seed's figures
def test_release__held__gives_everything_back() -> None:
    organization = make_account(credits=580)
    hold = make_hold(organization, 150)

    done = release(organization, hold)

    assert (done.released, done.new_balance) == (150, 580)
    assert get_funds(organization_id=organization) == Funds(580, 0, 580)
    assert Entry.objects.get(kind="release").reason == "build_failed"
    assert_ledger_adds_up()


# C-01
def test_commit__twice__answers_the_same_and_charges_once() -> None:
    organization = make_account()
    hold = make_hold(organization)

    first = commit(organization, hold, 120)
    make_hold(organization, 500)

    assert commit(organization, hold, 120) == first
    assert get_funds(organization_id=organization).balance == 880
    assert audited(organization).count("credits.committed") == 1
    assert_ledger_adds_up()


# C-01
def test_release__twice__answers_the_same_and_frees_once() -> None:
    organization = make_account()
    hold = make_hold(organization)

    first = release(organization, hold)

    assert release(organization, hold, "another reason") == first
    assert audited(organization).count("credits.released") == 1
    assert_ledger_adds_up()


# C-01
def test_reserve__same_reference__answers_with_the_first_hold() -> None:
    organization = make_account()

    first = make_hold(organization, 150, reference="r")
    commit(organization, first, 120)

    assert make_hold(organization, 150, reference="r") == first
    assert Reservation.objects.count() == 1
    assert audited(organization).count("credits.reserved") == 1


@pytest.mark.parametrize(
    "other", [{"amount": 151}, {"subject_id": "build_9"}, {"user_id": "user_9"}]
)
def test_reserve__same_reference_other_request__is_refused(other: dict[str, Any]) -> None:
    organization = make_account()
    make_hold(organization, 150, reference="r")

    refused(
        organization,
        ReferenceReused,
        lambda: make_hold(organization, **{"amount": 150, **other}, reference="r"),
    )


def test_reserve__same_reference_of_another_organization__is_independent() -> None:
    first, second = make_account(), make_account()

    one = make_hold(first, reference="r")

    assert make_hold(second, reference="r").reservation_id != one.reservation_id


# C-03: a reservation resolves once
@pytest.mark.parametrize(
    ("resolve", "again", "error"),
    [
        (lambda o, h: commit(o, h, 120), lambda o, h: release(o, h), ReservationAlreadyCommitted),
        (lambda o, h: commit(o, h, 0), lambda o, h: commit(o, h, 1), ReservationAlreadyCommitted),
        (
            lambda o, h: commit(o, h, 120),
            lambda o, h: commit(o, h, 150),
            ReservationAlreadyCommitted,
        ),
        (lambda o, h: release(o, h), lambda o, h: commit(o, h, 120), ReservationAlreadyReleased),
        (lambda o, h: release(o, h), lambda o, h: commit(o, h, 0), ReservationAlreadyReleased),
        (
            lambda o, h: release(o, h),
            lambda o, h: extend_reservation(reservation_id=h.reservation_id, expires_in_s=9),
            ReservationAlreadyReleased,
        ),
    ],
)
def test_reservation__resolved_otherwise__is_refused(
    resolve: Callable[..., Any], again: Callable[..., Any], error: type[Refusal]
) -> None:
    organization = make_account()
    hold = make_hold(organization)
    resolve(organization, hold)

    refusal = refused(organization, error, lambda: again(organization, hold))

    assert refusal.status == 409


# C-03: more than reserved comes out of the free balance
def test_commit__more_than_reserved__takes_the_rest_from_the_free_balance() -> None:
    organization = make_account(credits=400)
    hold = make_hold(organization, 150)

    done = commit(organization, hold, 400)

    assert (done.charged, done.refunded, done.new_balance) == (400, 0, 0)
    assert_ledger_adds_up()


# C-03
def test_commit__more_than_there_is__is_refused_whole() -> None:
    organization = make_account(credits=400)
    hold = make_hold(organization, 150)
    make_hold(organization, 100)

    refusal = refused(organization, InsufficientCredits, lambda: commit(organization, hold, 301))

    assert (refusal.data["required"], refusal.data["available"]) == (301, 300)
    assert commit(organization, hold, 300).new_balance == 0


@pytest.mark.parametrize(
    "act",
    [
        lambda o, h: commit(o, h, 1),
        lambda o, h: release(o, h),
    ],
)
def test_reservation__of_another_organization__is_not_found(act: Callable[..., Any]) -> None:
    owner, stranger = make_account(), make_account()
    hold = make_hold(owner)

    refused(owner, ReservationNotFound, lambda: act(stranger, hold))


def test_extend__unknown_reservation__is_not_found() -> None:
    organization = make_account()

    refused(
        organization,
        ReservationNotFound,
        lambda: extend_reservation(reservation_id=uuid.uuid4(), expires_in_s=9),
    )


def test_commit__for_another_subject__is_refused() -> None:
    organization = make_account()
    hold = make_hold(organization, subject_id="build_1")

    refused(
        organization,
        ReservationSubjectMismatch,
        lambda: commit(organization, hold, 1, subject_id="build_2"),
    )
    assert commit(organization, hold, 1, subject_id="build_1").charged == 1


def test_reserve__without_account__is_refused() -> None:
    with pytest.raises(AccountNotFound), transaction.atomic():
        make_hold(uuid.uuid4())


@pytest.mark.parametrize("amount", [0, -1, 10**12 + 1])
def test_amounts__out_of_range__are_refused(amount: int) -> None:
    organization = make_account()
    hold = make_hold(organization)

    with pytest.raises(ValueError, match="credits"):
        make_hold(organization, amount)
    with pytest.raises(ValueError, match="credits"):
        grant_credits(
            organization_id=organization,
            amount_credits=amount,
            reason="",
            actor="test",
            reference="r",
        )
    with pytest.raises(ValueError, match="credits"):
        commit(organization, hold, amount or -1)
    with pytest.raises(ValueError, match="longer than no time"):
        make_hold(organization, 1, expires_in_s=0)
    assert Entry.objects.filter(account__organization_id=organization).count() == 3


# C-05: one event per operation, none for a repetition
def test_operations__each__leave_one_audit_event() -> None:
    organization = make_account(credits=1000)
    open_account(organization_id=organization)
    first, second = make_hold(organization), make_hold(organization)
    extend_reservation(reservation_id=first.reservation_id, expires_in_s=3600)
    for _ in range(2):
        commit(organization, first, 120)
        release(organization, second)

    assert audited(organization) == [
        "credits.account_opened",
        "credits.granted",
        "credits.reserved",
        "credits.reserved",
        "credits.reservation_extended",
        "credits.committed",
        "credits.released",
    ]
    event = AuditEvent.objects.get(action="credits.committed")
    assert event.subject_id == public_id("res", first.reservation_id)
    assert event.data == {"charged": 120, "refunded": 30}


# C-05: the event commits with the work or not at all
def test_operation__audit_fails__changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    organization = make_account()

    def spoilt(**values: Any) -> dict[str, Any]:
        return event_values(**values) | {"event_action": "no action"}

    monkeypatch.setattr("credits.services.operations.event_values", spoilt)
    with pytest.raises(IntegrityError, match="audit_event_action_shape"), transaction.atomic():
        make_hold(organization)

    assert Reservation.objects.count() == 0
    assert get_funds(organization_id=organization) == Funds(1000, 0, 1000)


# C-07
def test_grant__same_reference__grants_once() -> None:
    organization = make_account(credits=0)

    def grant(amount: int) -> Any:
        return grant_credits(
            organization_id=organization,
            amount_credits=amount,
            reason="bought",
            actor="test",
            reference="order 7",
        )

    first = grant(100)

    assert grant(100) == first
    assert (first.available_credits, first.entry_seq) == (100, 1)
    refused(organization, ReferenceReused, lambda: grant(101))


def test_refusal__in_a_savepoint__leaves_the_outer_transaction_usable() -> None:
    organization = make_account(credits=10)

    with transaction.atomic():
        with pytest.raises(InsufficientCredits), transaction.atomic():
            reserve_credits(
                organization_id=organization,
                amount_credits=11,
                subject_type="build",
                subject_id="b",
                actor="test",
            )
        make_hold(organization, 10)

    assert get_funds(organization_id=organization).available == 0
