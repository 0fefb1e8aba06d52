"""Analytics: what the rollups say is what builds and ledger hold, whenever they are made."""

from __future__ import annotations

import math
import random
import statistics
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from builds.histogram import ERROR
from builds.models import Build, BuildDay, CreditDay, RolledDay, SegmentDay, UserDay
from builds.payloads import RollUpAnalytics
from builds.selectors.rollups import list_days_due
from builds.services.cancel import cancel_build
from builds.services.moves import fail_build, mark_deployed, start_build
from builds.services.rollups import roll_day
from credits.services import commit_reservation
from jobs.services.enqueue import enqueue
from jobs.worker.execute import Executor
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_hold, make_project
from tests.integration.builds.runs import artifact, claim_run

TODAY = datetime.now(UTC).date
ROLLED = (BuildDay, CreditDay, UserDay, SegmentDay)
MEBIBYTE = 2**20


def finish(build: Build, to: str) -> Build:
    """Bring a build to an end, as its worker would."""
    if to == "cancelled":
        return cancel_build(organization_id=build.organization_id, build_id=build.id, actor="test")
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    if to == "failed":
        return fail_build(build_id=build.id, code="BUILD_FAILED", message="", context=context)
    return mark_deployed(
        build_id=build.id, artifact=artifact(3 * MEBIBYTE), duration_s=0.5, context=context
    )


def make_builds(organization_id: uuid.UUID, *ends: str) -> list[Build]:
    """Builds that ended so, or are still queued."""
    made = [make_build(make_project(organization_id)) for _ in ends]
    return [
        build if end == "queued" else finish(build, end)
        for build, end in zip(made, ends, strict=True)
    ]


def rolled() -> list[Any]:
    """Everything the rollups hold but their keys."""
    return [
        sorted(
            (sorted((k, str(v)) for k, v in row.items() if k != "id"))
            for row in model._default_manager.values()
        )
        for model in ROLLED
    ]


def roll() -> None:
    for day in list_days_due():
        roll_day(day=day)


# --- what they say ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_builds__rolled_up__are_told_by_state_and_builder(api: ApiCaller) -> None:
    # B-10
    make_builds(api.organization.id, "deployed", "deployed", "deployed", "failed", "cancelled")
    make_builds(api.organization.id, "queued")
    make_builds(make_client().organization.id, "failed")
    roll()

    told = api.get("/v1/analytics/builds").json()

    totals = told["totals"]
    assert {name: totals[name] for name in ("submitted", "queued", "building")} == {
        "submitted": 6,
        "queued": 1,
        "building": 0,
    }
    assert (totals["deployed"], totals["failed"], totals["cancelled"]) == (3, 1, 1)
    assert totals["successRate"] == 0.75
    assert totals["chargedCredits"] == 3 * 5
    assert told["byBuilder"] == [{**totals, "builder": "static"}]
    assert told["series"] == [{**totals, "start": TODAY().isoformat()}]
    assert told["until"] == TODAY().isoformat()
    assert told["rolledUpAt"] is not None


@pytest.mark.django_db
def test_builds__none_at_all__are_zeros_and_nulls(api: ApiCaller) -> None:
    # B-10
    told = api.get("/v1/analytics/builds?builder=mkdocs&interval=month").json()

    assert told["totals"]["submitted"] == 0
    assert told["totals"]["successRate"] is None
    assert set(told["totals"]["duration"].values()) == {None}
    assert (told["series"], told["byBuilder"]) == ([], [])


@pytest.mark.django_db
def test_usage__rolled_up__is_told_by_operation_user_and_segment(api: ApiCaller) -> None:
    # B-10
    organization_id = api.organization.id
    make_builds(organization_id, "deployed", "deployed", "failed")
    hold = make_hold(organization_id, 150, user_id="user_456")
    commit_reservation(
        reservation_id=hold.reservation_id,
        organization_id=organization_id,
        actual_credits=120,
        actor="test",
    )
    roll()

    told = api.get("/v1/analytics/usage").json()

    by_operation = {
        row["operation"]: (row["entries"], row["credits"]) for row in told["byOperation"]
    }
    held = sum(Build.objects.values_list("estimated_credits", flat=True))
    assert by_operation == {
        "grant": (1, 1000),
        "reserve": (4, held + 150),
        "commit": (3, 10 + 120),
        "release": (1, held // 3),
    }
    assert told["byUser"] == [
        {"user": "user_456", "charges": 1, "credits": 120},
        {"user": "test", "charges": 2, "credits": 10},
    ]
    assert told["otherUsers"] is None
    assert told["segment"] == "regular"
    credits = {operation: credits for operation, (_, credits) in by_operation.items()}
    assert told["series"] == [{"start": TODAY().isoformat(), "credits": credits}]


@pytest.mark.django_db
def test_segments__of_all_organizations__are_for_operators(api: ApiCaller) -> None:
    # B-10
    make_builds(api.organization.id, "deployed")
    make_builds(make_client().organization.id, "deployed")
    make_client()
    roll()
    operator = make_client(scopes=("analytics:platform",), credit=0)

    told = operator.get("/v1/analytics/segments").json()

    charged = [row for row in told["bySegment"] if row["operation"] == "commit"]
    assert charged == [
        {"segment": "light", "operation": "commit", "organizations": 2, "entries": 2, "credits": 10}
    ]
    points = {point["segment"]: point["credits"].get("commit") for point in told["series"]}
    assert points == {"light": 10, "idle": None}
    granted = {row["segment"]: row for row in told["bySegment"] if row["operation"] == "grant"}
    assert (granted["idle"]["organizations"], granted["light"]["organizations"]) == (1, 2)
    assert_refused(api.get("/v1/analytics/segments"), 403, "FORBIDDEN")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["builds", "usage"])
def test_analytics__of_another_organization__are_not_seen(path: str, api: ApiCaller) -> None:
    # P24
    stranger = make_client(credit=0)
    before = stranger.get(f"/v1/analytics/{path}").json()
    make_builds(api.organization.id, "deployed")
    roll()

    after = stranger.get(f"/v1/analytics/{path}").json()

    assert {**after, "rolledUpAt": None} == before
    scope = {"builds": "credits:read", "usage": "builds:read"}[path]
    weak = make_client(scopes=(scope,), organization=api.organization)
    assert_refused(weak.get(f"/v1/analytics/{path}"), 403, "FORBIDDEN")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["builds", "usage", "segments"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("until=2026-02-30", "until"),
        ("since=2026-01-02&until=2026-01-01", "since"),
        ("since=2024-01-01&until=2026-01-01", "since"),
        ("interval=hour", "interval"),
        ("organizationId=1", "organizationId"),
    ],
)
def test_analytics__odd_question__names_the_field(path: str, query: str, field: str) -> None:
    # E-08
    caller = make_client(scopes=("builds:read", "credits:read", "analytics:platform"), credit=0)

    refused = assert_refused(caller.get(f"/v1/analytics/{path}?{query}"), 422, "VALIDATION_FAILED")

    assert list(refused["data"]["fields"]) == [field]


# --- durations --------------------------------------------------------------------------------


def test_durations__of_many_days__are_within_the_error(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # B-10: the database's buckets are the code's, and their sums keep the promise.
    caller = make_client(credit=10_000)
    draw = random.Random(10)
    spans = []
    for number, build in enumerate(make_builds(caller.organization.id, *["deployed"] * 60)):
        seconds = round(draw.lognormvariate(3, 1.2), 6)
        spans.append(seconds)
        _age(owner_db, build.id, days=number % 20, seconds=seconds)
    roll()
    spans.sort()

    told = caller.get("/v1/analytics/builds").json()

    assert len(told["series"]) == 20
    duration = told["totals"]["duration"]
    assert duration["meanS"] == pytest.approx(statistics.mean(spans), abs=0.001)
    for name, share in {"p50S": 0.5, "p90S": 0.9, "p95S": 0.95, "p99S": 0.99}.items():
        true = spans[math.ceil(share * len(spans)) - 1]
        assert abs(duration[name] - true) <= ERROR * true + 0.001, name
    monthly = caller.get("/v1/analytics/builds?interval=month").json()
    assert monthly["totals"] == told["totals"]
    assert sum(point["deployed"] for point in monthly["series"]) == 60


def _age(owner: psycopg.Connection[Any], build_id: uuid.UUID, *, days: int, seconds: float) -> None:
    """Move a build into the past, which only the owner can, without its guard."""
    owner.execute("ALTER TABLE builds_build DISABLE TRIGGER build_guard")
    owner.execute(
        "UPDATE builds_build SET queued_at = queued_at - make_interval(days => %(days)s),"
        " started_at = finished_at - make_interval(secs => %(seconds)s) WHERE id = %(id)s",
        {"days": days, "seconds": seconds, "id": build_id},
    )
    owner.execute("ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_guard")


# --- how they are kept ------------------------------------------------------------------------


@pytest.mark.django_db
def test_rollup__made_again__is_the_same(api: ApiCaller) -> None:
    # B-10
    make_builds(api.organization.id, "deployed", "failed", "queued")
    roll()
    first = rolled()

    for day in (TODAY(), TODAY(), TODAY() - timedelta(days=1)):
        roll_day(day=day)

    assert rolled() == first
    assert [len(table) for table in first] == [1, 4, 1, 4]
    assert RolledDay.objects.get(day=TODAY()).active_builds == 1


def test_rollup__late_changes__are_rolled_again_and_settled_days_are_not(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # B-10
    caller = make_client()
    late, early = make_builds(caller.organization.id, "queued", "deployed")
    for build, days in ((late, 5), (early, 9)):
        _age(owner_db, build.id, days=days, seconds=1)
    yesterday = TODAY() - timedelta(days=1)
    roll()
    # As rolled long after midnight.
    RolledDay.objects.filter(day__lt=yesterday).update(rolled_at=datetime.now(UTC))
    open_day = TODAY() - timedelta(days=5)

    assert [day for day in list_days_due() if day < yesterday] == [open_day]
    assert BuildDay.objects.get(day=open_day).queued == 1
    finish(late, "failed")
    roll()

    row = BuildDay.objects.get(day=open_day)
    assert (row.queued, row.failed) == (0, 1)
    assert [day for day in list_days_due() if day < yesterday] == []
    assert TODAY() in list_days_due()


def test_rollup__day_rolled_before_it_was_over__is_due_until_it_has_settled(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # B-10
    caller = make_client()
    (build,) = make_builds(caller.organization.id, "deployed")
    _age(owner_db, build.id, days=3, seconds=1)
    roll()
    day = TODAY() - timedelta(days=3)
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)

    for minutes, is_due in ((-1, True), (59, True), (61, False)):
        RolledDay.objects.filter(day=day).update(rolled_at=midnight + timedelta(minutes=minutes))
        assert (day in list_days_due()) == is_due


@pytest.mark.django_db
def test_rollup__rebuilt_by_command__repairs_what_was_wrong(api: ApiCaller, capsys: Any) -> None:
    # B-10
    make_builds(api.organization.id, "deployed", "failed")
    roll()
    right = rolled()
    BuildDay.objects.update(deployed=77)
    CreditDay.objects.all().delete()
    UserDay.objects.update(credits=1)
    assert rolled() != right

    call_command("roll_up_analytics", "--all")

    assert rolled() == right
    assert "1 days rolled up" in capsys.readouterr().out
    call_command("roll_up_analytics", f"--since={TODAY() - timedelta(days=2)}")
    assert rolled() == right
    assert "3 days rolled up" in capsys.readouterr().out


def test_rollup__scheduled_job__rolls_what_is_due(executor: Executor) -> None:
    # B-10 W-12
    caller = make_client()
    make_builds(caller.organization.id, "deployed")

    job = enqueue(RollUpAnalytics())
    executor.run(job.id)

    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"days": 1})
    assert caller.get("/v1/analytics/builds").json()["totals"]["deployed"] == 1


def test_rollup__twice_at_once__takes_turns(live_db: None) -> None:
    # B-10
    caller = make_client()
    make_builds(caller.organization.id, "deployed", "failed")
    barrier = threading.Barrier(4)
    errors: list[BaseException] = []

    def act() -> None:
        try:
            for _ in range(5):
                barrier.wait(10)
                roll_day(day=TODAY())
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    row = BuildDay.objects.get()
    assert (row.deployed, row.failed) == (1, 1)
