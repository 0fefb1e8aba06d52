"""Failure groups: counted by the database, acknowledged by people (D-07, ADR 0018)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from flagship.models import AuditEvent
from jobs.errors import FailureGroupAcknowledged, FailureGroupNotAcknowledged, FailureGroupNotFound
from jobs.models import FailedJob, FailureDelta, FailureGroup, FailureHour
from jobs.payloads import FoldDeaths
from jobs.registry import get_handler, scheduled
from jobs.selectors.failure_groups import counted_groups, get_group, trends
from jobs.services.failure_groups import (
    acknowledge_group,
    fold_deaths,
    forget_hours,
    withdraw_acknowledgement,
    write_note,
)
from tests.integration.jobs.heaps import answer_letters, make_letters

pytestmark = pytest.mark.django_db

ONE, TWO = "v2-" + "1" * 40, "v2-" + "2" * 40


def counts() -> dict[str, tuple[int, int]]:
    """Deaths and open letters of each group, as everybody is told them."""
    rows = counted_groups().values_list("fingerprint", "deaths_now", "open_now")
    return {fingerprint: (deaths, opened) for fingerprint, deaths, opened in rows}


def truth() -> dict[str, int]:
    """Open letters of each group, counted."""
    found: dict[str, int] = {}
    for fingerprint in FailedJob.objects.filter(state="open").values_list("fingerprint", flat=True):
        found[fingerprint] = found.get(fingerprint, 0) + 1
    return found


def test_first_death__of_a_cause__makes_its_group() -> None:
    # D-07
    make_letters(2, fingerprint=ONE, error_class="OSError", message="disk of web-1 is full")

    group = get_group(fingerprint=ONE)
    assert (group.kind, group.error_class) == ("jobs.probe", "OSError")
    assert group.message == "disk of web-1 is full"
    assert (group.acknowledged_at, group.note) == (None, "")


def test_counts__through_births_answers_and_deletions__are_exact_folded_or_not() -> None:
    # D-07
    first = make_letters(5, fingerprint=ONE)
    second = make_letters(3, fingerprint=TWO)
    assert counts() == {ONE: (5, 5), TWO: (3, 3)}

    assert fold_deaths() > 0
    answer_letters(first[:2])
    make_letters(1, fingerprint=ONE)
    FailedJob.objects.filter(pk__in=[second[0], first[0]]).delete()

    expected = {ONE: (6, 4), TWO: (3, 2)}
    assert counts() == expected
    while fold_deaths(most=1):
        assert counts() == expected
    assert not FailureDelta.objects.exists()
    stored = FailureGroup.objects.values_list("fingerprint", "deaths", "open")
    assert {row[0]: row[1:] for row in stored} == expected
    assert truth() == {ONE: 4, TWO: 2}


def test_statement__that_changes_no_count__leaves_no_trace() -> None:
    ids = make_letters(4)
    fold_deaths()

    FailedJob.objects.filter(pk__in=ids).update(message="said otherwise")

    assert not FailureDelta.objects.exists()


def test_statement__over_many_letters__notes_one_row_a_group() -> None:
    # D-07: what a redrive or a cleanup answers at once is one row.
    make_letters(50, fingerprint=ONE)
    make_letters(50, fingerprint=TWO)
    fold_deaths()

    answer_letters(list(FailedJob.objects.values_list("pk", flat=True)))

    assert FailureDelta.objects.count() == 2


def test_seen__is_the_first_death_and_the_last_one() -> None:
    # D-07
    make_letters(2, fingerprint=ONE, days=3.0)
    fold_deaths()
    make_letters(1, fingerprint=ONE)
    make_letters(1, fingerprint=ONE, days=9.0)

    for _ in range(2):
        newest, oldest = (
            FailedJob.objects.order_by(order).values_list("died_at", flat=True)[0]
            for order in ("-died_at", "died_at")
        )
        group = counted_groups().get()
        assert (group.born_at, group.seen_at) == (oldest, newest)
        fold_deaths()
    assert FailureGroup.objects.get().first_seen_at == oldest


def test_trend__of_the_last_hours__has_what_is_folded_and_what_is_not() -> None:
    # D-07
    make_letters(3, fingerprint=ONE)
    make_letters(2, fingerprint=ONE, days=2 / 24)
    make_letters(7, fingerprint=ONE, days=2.0)
    now = datetime.now(UTC)

    for _ in range(2):
        trend = trends(fingerprints=[ONE, TWO], hours=24, now=now)
        assert sum(trend[ONE].counts) == 5
        assert sum(trend[TWO].counts) == 0
        assert trend[ONE].since == now.replace(minute=0, second=0, microsecond=0) - timedelta(
            hours=23
        )
        month = trends(fingerprints=[ONE], hours=72, now=now)[ONE]
        assert sum(month.counts) == 12
        assert sum(month.by_day().counts) == 12 and len(month.by_day().counts) == 3
        assert month.last(24) == trend[ONE]
        fold_deaths()


def test_hours__older_than_they_are_drawn__are_forgotten() -> None:
    make_letters(1, fingerprint=ONE, days=100.0)
    make_letters(1, fingerprint=ONE)
    fold_deaths()
    assert FailureHour.objects.count() == 2

    assert forget_hours() == 1
    assert counts() == {ONE: (2, 2)}


def test_acknowledge__by_an_operator__counts_what_comes_apart_and_is_audited() -> None:
    # D-07, D-06
    make_letters(3, fingerprint=ONE)

    acknowledge_group(fingerprint=ONE, actor="user:ana", note=" the provider is down ")
    make_letters(2, fingerprint=ONE)

    group = get_group(fingerprint=ONE)
    assert (group.acknowledged_by, group.acknowledged_deaths) == ("user:ana", 3)
    assert group.note == "the provider is down"
    assert counts()[ONE] == (5, 5)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("failure_group.acknowledged", "user:ana")
    assert (event.subject_id, event.data) == (ONE, {"deaths": 3, "note": "the provider is down"})


def test_acknowledge__a_second_time__is_refused_and_says_by_whom() -> None:
    # D-07
    make_letters(1, fingerprint=ONE)
    acknowledge_group(fingerprint=ONE, actor="user:ana", note="known")

    with pytest.raises(FailureGroupAcknowledged) as refused:
        acknowledge_group(fingerprint=ONE, actor="user:bob", note="mine")

    assert refused.value.data["acknowledgedBy"] == "user:ana"
    assert get_group(fingerprint=ONE).note == "known"
    assert AuditEvent.objects.count() == 1


def test_withdrawal__takes_it_back_once_and_keeps_the_note() -> None:
    # D-07
    make_letters(1, fingerprint=ONE)
    acknowledge_group(fingerprint=ONE, actor="user:ana", note="known")

    withdraw_acknowledgement(fingerprint=ONE, actor="user:bob")

    group = get_group(fingerprint=ONE)
    assert (group.acknowledged_at, group.acknowledged_deaths, group.note) == (None, None, "known")
    assert AuditEvent.objects.latest("id").data == {"acknowledgedBy": "user:ana"}
    with pytest.raises(FailureGroupNotAcknowledged):
        withdraw_acknowledgement(fingerprint=ONE, actor="user:bob")


def test_note__is_written_replaced_and_removed_each_time_audited() -> None:
    # D-07
    make_letters(1, fingerprint=ONE)

    for note in ("ask the provider", "asked", ""):
        write_note(fingerprint=ONE, actor="user:ana", note=note)
        assert get_group(fingerprint=ONE).note == note

    actions = AuditEvent.objects.values_list("action", flat=True)
    assert list(actions) == ["failure_group.noted"] * 3


@pytest.mark.parametrize("decide", [acknowledge_group, withdraw_acknowledgement])
def test_decision__about_no_group__is_refused(decide: Any) -> None:
    with pytest.raises(FailureGroupNotFound):
        decide(fingerprint="v2-nothing", actor="user:ana")
    with pytest.raises(ValueError, match="actor"):
        decide(fingerprint="v2-nothing", actor="")


def test_decision__whose_audit_event_cannot_be_written__does_not_happen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # D-06
    make_letters(1, fingerprint=ONE)

    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    for act in (acknowledge_group, write_note):
        with pytest.raises(RuntimeError):
            act(fingerprint=ONE, actor="user:ana", note="x")

    group = get_group(fingerprint=ONE)
    assert (group.acknowledged_at, group.note) == (None, "")


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("failure_group_open_within_deaths", "open = deaths + 1"),
        ("failure_group_open_within_deaths", "open = -1"),
        ("failure_group_acknowledged_whole", "acknowledged_at = now()"),
        ("failure_group_acknowledged_whole", "acknowledged_by = 'me'"),
    ],
)
def test_group__that_cannot_be__is_refused_by_the_database(constraint: str, change: str) -> None:
    # D-07
    make_letters(1)
    fold_deaths()

    with (
        pytest.raises(IntegrityError, match=constraint),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE jobs_failuregroup SET {change}")


def test_fold__each_minute__folds_all_there_is() -> None:
    make_letters(5)
    (declared,) = [each for each in scheduled() if each.name == "jobs.fold-deaths"]
    assert (declared.payload, declared.every_s) == (FoldDeaths(), 60)

    class Context:
        def check(self) -> None:
            return None

        def remaining_s(self) -> float:
            return 1000.0

    assert get_handler(FoldDeaths.KIND).function(FoldDeaths(), Context()) == {"folded": 1}
    assert not FailureDelta.objects.exists()
