"""The overview: what it shows to whom, what it warns of, what it costs (D-07, W-17, O-03, C-07)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from jobs.admin import panels
from jobs.admin.panels import Panel, Reading
from jobs.models import QueuePause, Schedule, WorkerHeartbeat
from jobs.queues import AUDIT, CONTENT
from jobs.services.dead_letters import discard
from jobs.services.failure_groups import acknowledge_group
from jobs.services.heartbeats import WorkerFacts, beat
from jobs.services.pauses import pause_queue
from tests.factories import make_account, make_hold
from tests.integration.console.rows import browser_of, make_letter, make_operator
from tests.integration.console.world import make_world
from tests.integration.jobs.rows import make_job

QUERIES_MAX = 40
PARTS = "/admin/overview/"
NAMES = {
    "queues": "jobs.view_queuepause",
    "workers": "jobs.view_workerheartbeat",
    "letters": "jobs.view_failedjob",
    "schedules": "jobs.view_schedule",
    "credits": "credits.view_account",
    "builds": "builds.view_build",
    "telemetry": "jobs.view_telemetryevent",
}


@pytest.fixture
def root(db: None) -> Client:
    """May see everything."""
    return browser_of(User.objects.create_superuser("root", password="x"))


def parts_of(client: Client, address: str = PARTS) -> str:
    """The page, or its parts."""
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def alarms_of(client: Client) -> list[str]:
    """What the overview warns of, the worst first."""
    strip = parts_of(client).partition('data-part="alarms"')[2].partition("</section>")[0]
    found = re.findall(r'fs-alarm-(danger|warning)".*?</span><span>(.*?)</span>', strip)
    return [f"{tone}: {html.unescape(text)}" for tone, text in found]


def beat_of(role: str, name: str = "", **more: Any) -> None:
    """Let a process have given a sign of life."""
    with connection.cursor() as cursor:
        cursor.execute(*beat(WorkerFacts(name or role, "h", 1, role, slots=10, **more)))


@pytest.fixture
def working(db: None) -> None:
    """A system in which everybody is there."""
    beat_of("worker")
    beat_of("scheduler")


@pytest.mark.parametrize("name", NAMES)
def test_overview__of_each_part__is_shown_to_those_who_may_see_it(db: None, name: str) -> None:
    # D-06: a panel without a case is a panel nobody thought about
    make_world()
    client = browser_of(make_operator(NAMES[name]))

    shown = re.findall(r'data-part="(\w+)"', parts_of(client))

    assert shown == ["alarms", name]
    assert set(panels._panels) == NAMES.keys()


def test_overview__of_an_operator_who_sees_none_of_it__names_his_pages(db: None) -> None:
    # D-06
    client = browser_of(make_operator("flagship.view_apikey"))

    page = parts_of(client, "/admin/")

    assert "data-refresh" not in page and "/admin/flagship/apikey/" in page
    assert re.findall(r'data-part="(\w+)"', parts_of(client)) == ["alarms"]


def test_overview__as_a_page__holds_the_parts_it_asks_for_again(root: Client) -> None:
    # D-07
    make_world()

    page, parts = parts_of(root, "/admin/"), parts_of(root)

    assert 'data-refresh="/admin/overview/"' in page and "<html" not in parts
    found = re.findall(r'data-part="(\w+)"', parts)
    assert found == re.findall(r'data-part="(\w+)"', page)
    assert found == [
        *("alarms", "queues", "letters", "builds", "credits", "workers", "schedules"),
        "telemetry",
    ]


def test_overview__of_strangers_and_by_post__is_refused(db: None) -> None:
    # D-06
    visitor, person = Client(), Client()
    person.force_login(User.objects.create_user("bob", password="x"))

    assert visitor.get(PARTS).status_code == 302
    assert person.get(PARTS).status_code == 302
    assert browser_of(make_operator()).post(PARTS).status_code == 405


def test_overview__asked_for_again__eats_no_message(root: Client, working: None) -> None:
    # D-07: what an action has said is for the page that follows it
    root.post(f"/admin/jobs/queuepause/{AUDIT}/resume/")

    parts_of(root)

    assert "Nothing done" in parts_of(root, "/admin/")


def test_overview__of_a_system_that_works__is_quiet(root: Client, working: None) -> None:
    # D-07
    assert alarms_of(root) == []
    assert "All quiet" in parts_of(root)


def test_overview__without_worker_and_scheduler__says_what_stands_still(root: Client) -> None:
    # O-03
    assert alarms_of(root) == [
        "danger: No worker is alive: nothing runs",
        "danger: No scheduler is alive: retries, schedules and rescues stand still",
    ]


def test_overview__of_a_silent_worker__warns_of_it_by_name(root: Client, working: None) -> None:
    # O-03
    beat_of("worker", "web-1:4711:3fa2b1", busy=4)
    WorkerHeartbeat.objects.filter(name="web-1:4711:3fa2b1").update(
        beat_at=datetime.now(UTC) - timedelta(seconds=150)
    )

    (alarm,) = alarms_of(root)
    assert alarm.startswith("danger: web-1:4711:3fa2b1 has been silent for 2 min ")


def test_overview__of_a_paused_queue__says_by_whom_and_why(root: Client, working: None) -> None:
    # W-17
    make_job("pending", queue=CONTENT, next_attempt_at=datetime.now(UTC) - timedelta(hours=1))
    pause_queue(queue=CONTENT, actor="user:ana", reason="provider <down>")

    assert alarms_of(root) == ["warning: content is paused by user:ana: provider <down>"]


def test_overview__of_a_job_that_waits_for_nobody__warns_of_its_age(
    root: Client, working: None
) -> None:
    # W-17
    make_job("queued", queue=AUDIT, next_attempt_at=datetime.now(UTC) - timedelta(minutes=7.5))

    (alarm,) = alarms_of(root)
    assert alarm.startswith("danger: audit: a job has been waiting for 7 min ")


def test_overview__of_a_late_schedule__warns_once(root: Client, working: None) -> None:
    # W-12
    for name in ("a.first", "b.second"):
        Schedule.objects.create(
            name=name,
            kind="jobs.probe",
            every_s=60,
            next_run_at=datetime.now(UTC) - timedelta(minutes=2),
        )

    assert alarms_of(root) == ["danger: a.first is late, and 1 more"]


def test_overview__of_credits__shows_what_is_there_and_what_is_held(
    root: Client, working: None
) -> None:
    # C-07
    organization = make_account(credits=1000)
    make_hold(organization, 150)
    make_hold(organization, 50)

    panel = parts_of(root).partition('id="panel-credits"')[2].partition("</section>")[0]

    assert re.findall(r"<dd[^>]*>([^<]*)</dd>", panel) == ["800", "200", "2", "0"]


def test_overview__of_frozen_accounts__says_so(root: Client, working: None) -> None:
    # C-06, C-07
    make_world()
    QueuePause.objects.all().delete()

    assert "danger: Accounts frozen because they drift: 1" in alarms_of(root)


def test_overview__of_letters__has_one_line_for_each_cause(root: Client) -> None:
    # D-07
    for number in range(7):
        make_letter(runs=1, fingerprint="a" * 32, message=f"number {number}")
    make_letter(runs=1, fingerprint="b" * 32, died_ago=timedelta(days=2))
    discard(failed_job_id=make_letter(runs=1).pk, actor="user:ana", reason="answered")
    acknowledge_group(fingerprint="b" * 32, actor="user:ana", note="known")

    panel = parts_of(root).partition('id="panel-letters"')[2].partition("</section>")[0]

    assert re.findall(r">(\d+) open<", panel) == ["7", "1"]
    assert "number 0" in panel and "8 open in all" in panel
    assert re.findall(r'aria-label="(\d+) deaths', panel) == ["7", "0"]
    assert f"/admin/jobs/failuregroup/{'a' * 32}/change/" in panel
    assert panel.count("acknowledged") == 1


def test_overview__of_letters_nobody_knows_of__warns_until_somebody_does(
    root: Client, working: None
) -> None:
    # D-07
    make_letter(runs=1, fingerprint="a" * 32)
    make_letter(runs=1, fingerprint="a" * 32)
    cause = "of a cause that nobody has acknowledged: OSError, jobs.probe"
    assert alarms_of(root) == [f"warning: 2 dead letters {cause}"]
    assert f'href="/admin/jobs/failuregroup/{"a" * 32}/change/"' in parts_of(root)

    make_letter(runs=1, fingerprint="b" * 32)
    causes = "2 causes that nobody has acknowledged"
    assert alarms_of(root) == [f"warning: 3 dead letters of {causes}"]

    acknowledge_group(fingerprint="a" * 32, actor="user:ana")
    assert alarms_of(root) == [f"warning: A dead letter {cause}"]
    acknowledge_group(fingerprint="b" * 32, actor="user:ana")
    assert alarms_of(root) == []


def test_overview__whatever_the_tables_hold__costs_the_same(root: Client, working: None) -> None:
    # D-06: no query per row
    make_world()
    parts_of(root)
    with CaptureQueriesContext(connection) as few:
        parts_of(root)
    for number in range(8):
        make_world(f"Bakery {number}")
        beat_of("worker", f"w{number}")
        make_letter(runs=1)
        Schedule.objects.create(
            name=f"s{number}", kind="x", every_s=1, next_run_at=datetime.now(UTC)
        )
    with CaptureQueriesContext(connection) as many:
        parts_of(root)

    assert len(many) == len(few) <= QUERIES_MAX


@pytest.fixture
def slow_panel() -> Iterator[None]:
    """A panel whose statement takes longer than it may."""

    def read() -> Reading:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '50ms'")
            try:
                cursor.execute("SELECT pg_sleep(5)")
            finally:
                cursor.execute("RESET statement_timeout")
        return Reading({})

    panels.register(
        Panel("slow", "Slow", "timer", "jobs.job", "admin/overview/queues.html", read, 15)
    )
    yield
    del panels._panels["slow"]


def test_overview__with_a_part_that_cannot_be_read__shows_the_others(
    live_db: None, slow_panel: None, caplog: pytest.LogCaptureFixture
) -> None:
    # D-07: the page is for the night on which something does not answer
    root = browser_of(User.objects.create_superuser("root", password="x"))

    page = parts_of(root, "/admin/")

    assert "The database does not say in time." in page
    assert 'id="panel-workers"' in page and "Nobody is there." in page
    assert "the panel slow cannot be read" in caplog.text
