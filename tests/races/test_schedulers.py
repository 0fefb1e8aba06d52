"""Four schedulers, a clock that jumps, the nights of daylight change: each period once (P14)."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.signals import connection_created
from django.db.models import Count

from jobs import registry
from jobs.models import Job, Schedule, ScheduleRun
from jobs.registry import ScheduledJob
from jobs.rhythm import CatchUp
from jobs.services.schedules import run_due_schedules, run_schedule_now, sync_schedules
from tests.drills.payloads import Touch
from tests.processes import Processes, wait_until
from tests.races.racers import Racers
from tests.servers import Servers
from tests.soak import soaked

SCHEDULERS = 4
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BERLIN = "Europe/Berlin"

Clock = Callable[[datetime], None]


@pytest.fixture
def clock(owner_db: psycopg.Connection[Any], servers: Servers) -> Iterator[Clock]:
    """Set the database's clock: it stands still in between, for every session of the test.

    A schema of ours is searched before the server's own, so that its `clock_timestamp` is the one
    that every statement of the engine finds.
    """
    for statement in (
        "CREATE SCHEMA clock",
        "CREATE TABLE clock.hand AS SELECT now() AS at",
        "CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql"
        " AS 'SELECT at FROM clock.hand'",
        f'GRANT USAGE ON SCHEMA clock TO "{servers.application}"',
        f'GRANT SELECT ON clock.hand TO "{servers.application}"',
    ):
        owner_db.execute(statement)

    def search(sender: object, connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = clock, public, pg_catalog")

    connection_created.connect(search)
    connection.close()
    yield lambda at: void(owner_db.execute("UPDATE clock.hand SET at = %s", (at,)))
    connection_created.disconnect(search)
    connection.close()


def void(_: object) -> None:
    """Forget a value."""


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare a schedule beside those of the system, which are left out."""
    monkeypatch.setattr(registry, "_schedules", {})

    def make(name: str, **options: Any) -> None:
        registry._schedules[name] = ScheduledJob(
            name, lambda at: Touch(key=f"{name} {at.isoformat()}"), **options
        )

    return make


def scheduler_pass() -> int:
    """One pass of a scheduler, which may lose its connection."""
    try:
        return run_due_schedules()
    except (OperationalError, InterfaceError):
        connection.close()
        return 0


def kill_one(servers: Servers) -> None:
    """End the session of one scheduler, whatever it is doing."""
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = %s AND datname = current_database() ORDER BY random() LIMIT 1",
            (servers.application,),
        )


def moves(start: datetime, end: datetime, chance: random.Random) -> Iterator[datetime]:
    """Yield where the clock stands: mostly a little further, at times an hour off, or far on."""
    at, high = start, start
    while high < end:
        at += chance.choice(
            # Back by an hour, forward by an hour; stopped for three; else a few minutes.
            [-HOUR, HOUR, 3 * HOUR]
            if chance.random() < 0.04
            else [m * MINUTE for m in (2, 7, 12, 17)]
        )
        at += timedelta(seconds=chance.random() * 20)
        high = max(at, high)
        yield at


@pytest.mark.parametrize(
    ("start", "nights"),
    [
        # The clock goes from 02:00 to 03:00 on the 29th.
        ("2026-03-28T20:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        # The clock goes from 03:00 to 02:00 on the 25th.
        ("2026-10-24T20:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ],
)
def test_period__with_four_schedulers_and_a_jumping_clock__runs_once(
    clock: Clock,
    declare: Callable[..., None],
    servers: Servers,
    start: str,
    nights: list[str],
) -> None:
    # P14
    chance = random.Random(start)
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    end = begin + timedelta(hours=30)
    declare("plain", every_s=1200.0, catch_up=CatchUp.ALL)
    declare("hourly", cron="0 * * * *", timezone=BERLIN, catch_up=CatchUp.ALL)
    declare("nightly", cron="30 2 * * *", timezone=BERLIN)
    declare("once", cron="*/30 * * * *", timezone=BERLIN, grace_s=1200.0)
    declare("skipping", cron="*/30 * * * *", timezone=BERLIN, catch_up=CatchUp.SKIP, grace_s=1200.0)
    clock(begin)
    high = begin

    with Racers(SCHEDULERS + 1) as racers:
        racers.race([sync_schedules] * (SCHEDULERS + 1))
        for number, at in enumerate(moves(begin, end, chance)):
            high = max(high, at)
            # The clock moves while the schedulers look at it.
            others: list[Callable[[], Any]] = [lambda at=at: clock(at)]  # type: ignore[misc]
            if number % 10 == 9 and servers.postgres is not None:
                clock(at)
                others = [lambda: kill_one(servers)]
            results = racers.race([scheduler_pass] * SCHEDULERS + others)
            assert all(not isinstance(result, Exception) for result in results), results
        # At last for long enough that the last half hour is more than its grace ago.
        high = high.replace(minute=25) + 3 * HOUR
        clock(high)
        racers.race([scheduler_pass] * (SCHEDULERS + 1))
        assert racers.race([scheduler_pass] * (SCHEDULERS + 1)) == [0] * (SCHEDULERS + 1)

    every = {name: set(runs(name)) for name in registry._schedules}
    passed = high - begin
    assert every["plain"] == {
        begin + n * 20 * MINUTE for n in range(1, passed // (20 * MINUTE) + 1)
    }
    assert every["hourly"] == {begin + n * HOUR for n in range(1, passed // HOUR + 1)}
    halves = {begin + n * 30 * MINUTE for n in range(1, passed // (30 * MINUTE) + 1)}
    assert every["once"] == every["skipping"] == halves
    assert every["nightly"] == {datetime.fromisoformat(at).replace(tzinfo=UTC) for at in nights}

    # Each period was decided once, and each one that runs has one job, made for it.
    assert_once()
    missed = Counter(
        ScheduleRun.objects.filter(outcome="missed").values_list("schedule", flat=True)
    )
    assert missed["plain"] == missed["hourly"] == 0
    assert 0 < missed["once"] < missed["skipping"] < len(halves)
    assert ScheduleRun.objects.count() >= 200


def runs(name: str) -> list[datetime]:
    """The planned times of a schedule that have been decided."""
    return list(ScheduleRun.objects.filter(schedule=name).values_list("planned_at", flat=True))


def assert_once() -> None:
    """No period twice, no job without its period, each job made for its own."""
    doubled = ScheduleRun.objects.values("schedule", "planned_at").annotate(times=Count("id"))
    assert not doubled.filter(times__gt=1).exists()
    ran = {
        f"{run.schedule} {run.planned_at.isoformat()}": run.job_id
        for run in ScheduleRun.objects.exclude(outcome="missed")
    }
    jobs = {job.payload["key"]: job.id for job in Job.objects.all()}
    assert jobs == ran
    assert Job.objects.count() == len(jobs)


def test_schedules__declared_by_many_processes_at_once__are_there_once(
    live_db: None, declare: Callable[..., None]
) -> None:
    # W-12: registered idempotently.
    for number in range(5):
        declare(f"s{number}", every_s=60.0)
    with Racers(8) as racers:
        for _ in range(soaked(5)):
            Schedule.objects.all().delete()
            assert racers.race([sync_schedules] * 8) == [None] * 8
            assert Schedule.objects.count() == 5


def test_period__run_by_four_at_once_by_the_servers_clock__is_inserted_once(
    live_db: None, declare: Callable[..., None]
) -> None:
    # W-12, P14
    declare("drill", every_s=1.0, grace_s=3600.0)
    sync_schedules()
    start = Schedule.objects.get().next_run_at - timedelta(seconds=30)
    with Racers(SCHEDULERS) as racers:
        for period in range(20):
            Schedule.objects.update(next_run_at=start + timedelta(seconds=period))
            racers.race([run_due_schedules] * SCHEDULERS)

    assert set(runs("drill")) >= {start + timedelta(seconds=period) for period in range(20)}
    assert_once()


def test_run_now__of_one_click_by_four_at_once__is_one_job(
    live_db: None, declare: Callable[..., None]
) -> None:
    declare("drill", every_s=3600.0)
    sync_schedules()
    with Racers(SCHEDULERS) as racers:
        for click in range(10):
            found = racers.race(
                [
                    lambda c=click: run_schedule_now(name="drill", actor="ada", click_id=f"{c}").id  # type: ignore[misc]
                    for _ in range(SCHEDULERS)
                ]
            )
            assert len(set(found)) == 1
    assert Job.objects.count() == ScheduleRun.objects.count() == 10


def test_rqscheduler__twice_and_one_of_them_killed__keeps_the_rhythm(
    live_db: None, processes: Processes
) -> None:
    # W-12, P14: real processes, from an empty table on.
    env = {"SWEEP_INTERVAL_S": "0.1"}
    two = [processes.start("rqscheduler", env=env) for _ in range(2)]
    for process in two:
        process.wait_for("sweeping every 0.1 s", 60.0)
    name = "credits.expire-reservations"
    wait_until(lambda: Schedule.objects.filter(name=name).exists(), 60.0)

    for number in range(12):
        planned = Schedule.objects.get(name=name).next_run_at - timedelta(seconds=35)
        Schedule.objects.filter(name=name).update(next_run_at=planned)
        wait_until(lambda: Schedule.objects.get(name=name).next_run_at > planned)  # noqa: B023
        if number == 5:
            two[0].kill()

    # Set back a dozen times: what has been decided is not decided again, whoever looks.
    doubled = ScheduleRun.objects.values("schedule", "planned_at").annotate(times=Count("id"))
    assert not doubled.filter(times__gt=1).exists()
    ran = ScheduleRun.objects.exclude(outcome="missed").filter(schedule=name)
    keys = {f"cron:{name}:{run.planned_at.isoformat()}": run.job_id for run in ran}
    jobs = Job.objects.filter(dedupe_key__startswith=f"cron:{name}:")
    assert {job.dedupe_key: job.id for job in jobs} == keys != {}
    two[1].kill(signal.SIGTERM)
    assert two[1].wait() == 0
