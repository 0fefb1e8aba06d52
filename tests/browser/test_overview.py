"""The overview and the live log stay fresh, and take nothing from their reader (D-07, O-09)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Browser, Page, expect

from builds.services.rollups import roll_day
from credits.models import Account
from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.models import Job, QueuePause, Schedule, TelemetryEvent, WorkerHeartbeat
from jobs.payloads import Probe
from jobs.queues import AUDIT, CONTENT
from jobs.services.enqueue import enqueue
from jobs.services.heartbeats import WorkerFacts, beat
from jobs.services.pauses import pause_queue
from tests.browser.complaints import barriers
from tests.browser.places import furnish
from tests.browser.steps import log_in, told
from tests.browser.test_pages import PHONE, root
from tests.browser.test_walk import CORNERS
from tests.integration.console.rows import make_letter
from tests.integration.console.world import make_world
from tests.integration.jobs.rows import make_job
from tests.processes import Processes, wait_until
from tests.soak import full

LOG = "/admin/jobs/telemetryevent/"
QUEUES = "/admin/jobs/queuepause/"
SOON_MS = 12_000


def live_on(*, busy: int = 3) -> None:
    """Let a worker and a scheduler give signs of life."""
    for role in ("worker", "scheduler"):
        facts = WorkerFacts(f"web-1:{role}", "web-1", 1, role, slots=100, busy=busy)
        with connection.cursor() as cursor:
            cursor.execute(*beat(facts))


def tell(name: str, **data: str) -> None:
    """Let something happen."""
    TelemetryEvent.objects.create(
        key=uuid.uuid4(), name=name, at=datetime.now(UTC), source="web-1:1:a", data=data
    )


def busy_night() -> None:
    """A system in which much goes wrong at once."""
    make_world()
    live_on()
    for number in range(40):
        make_letter(runs=1 + number % 3, died_ago=timedelta(minutes=number), queue=AUDIT)
    for minutes in range(0, 60, 3):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        outcome = "failed" if minutes % 9 == 0 else "succeeded"
        run = {"started_at": at, "ended_at": at + timedelta(seconds=2), "outcome": outcome}
        make_job("succeeded", queue=CONTENT if minutes % 2 else AUDIT, run=run)
    make_job("queued", queue=AUDIT, next_attempt_at=datetime.now(UTC) - timedelta(minutes=14))
    make_job("running", queue=AUDIT, lease_owner="web-1:worker", progress={"percent": 40})
    roll_day(day=datetime.now(UTC).date())
    tell("job.dead", jobId=public_id("job", Job.objects.all()[0].pk), kind="builds.run_build")
    tell("worker.back", worker="web-1:worker", role="worker")
    tell("build.deployed", buildId="build_" + "0" * 32, chargedCredits="3")


def pages() -> dict[str, str]:
    """The pages that are looked at, by name."""
    worker = WorkerHeartbeat.objects.get(name="web-1:worker")
    account = Account.objects.get(organization__name="Acme Bakery")
    return {
        "overview": "/admin/",
        "queues": QUEUES,
        "live": LOG,
        "workers": "/admin/jobs/workerheartbeat/",
        "worker": f"/admin/jobs/workerheartbeat/{quote(worker.pk)}/change/",
        "job": f"/admin/jobs/job/{Job.objects.filter(state='running')[0].pk}/change/",
        "schedule": f"/admin/jobs/schedule/{Schedule.objects.all()[0].pk}/change/",
        "account": f"/admin/credits/account/{account.pk}/change/?days=1",
        "reservations": "/admin/credits/reservation/",
        "statements": "/admin/credits/statement/",
        "usage": "/admin/builds/creditday/",
    }


# --- staying fresh ----------------------------------------------------------------------------


def test_overview__left_open__follows_what_happens(page: Page) -> None:
    # D-07
    live_on(busy=3)
    log_in(page, root())
    expect(page.locator("#panel-workers")).to_contain_text("3 of 100 slots")
    expect(page.locator(".fs-alarm-none")).to_be_visible()

    live_on(busy=41)
    pause_queue(queue=CONTENT, actor="user:bea", reason="provider down")

    expect(page.locator("#panel-workers")).to_contain_text("41 of 100 slots", timeout=SOON_MS)
    expect(page.locator(".fs-alarm")).to_contain_text("content is paused by user:bea")
    expect(page.locator("[data-fresh-age]")).to_contain_text("Updated")


def test_overview__used_while_it_refreshes__loses_nothing(page: Page) -> None:
    # D-07: neither place, focus, nor what is selected; and the node under the pointer stays
    busy_night()
    log_in(page, root())
    page.set_viewport_size({"width": 1000, "height": 420})
    page.evaluate(
        """() => {
          window.row = document.querySelector('#panel-queues [data-key="flagship:audit"]');
          document.querySelector('#panel-schedules a.fs-link').focus();
          document.querySelector('#panel-letters').scrollIntoView();
          const message = document.querySelector('#panel-letters .fs-list-text');
          getSelection().selectAllChildren(message);
        }"""
    )
    seen = "Math.round(document.querySelector('#panel-letters').getBoundingClientRect().top)"
    before = page.evaluate(seen), page.evaluate("String(getSelection())")
    waiting = page.locator('[data-key="flagship:audit"] [data-label="Waiting"]')
    expect(waiting).to_have_text("1")

    make_job("queued", queue=AUDIT)
    make_letter(runs=1)
    expect(waiting).to_have_text("2", timeout=SOON_MS)

    # What grows above moves the page, and nothing of what is looked at.
    assert (page.evaluate(seen), page.evaluate("String(getSelection())")) == before
    assert before[1] != ""
    assert page.evaluate("document.activeElement.matches('#panel-schedules a.fs-link')")
    assert page.evaluate("window.row.isConnected")
    expect(page.locator("#panel-letters")).to_have_attribute("data-held", "")
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator("#panel-letters")).not_to_have_attribute("data-held", "", timeout=SOON_MS)


def test_overview__paused__asks_nothing_until_it_is_resumed(page: Page) -> None:
    # D-07
    live_on(busy=3)
    log_in(page, root())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.click("[data-fresh-toggle]")
    live_on(busy=77)
    page.wait_for_timeout(6_500)
    quiet = [url for url in asked if "overview" in url]
    page.click("[data-fresh-toggle]")

    assert quiet == [] and "Paused" not in page.inner_text("[data-fresh-age]")
    expect(page.locator("#panel-workers")).to_contain_text("77 of 100 slots", timeout=SOON_MS)


def test_overview__whose_server_does_not_answer__says_so_and_recovers(
    chromium: Browser, site: str
) -> None:
    # D-07: a browser tells its console of each answer that is an error; these are meant
    live_on(busy=3)
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    page.clock.install()
    log_in(page, root())
    problem = page.locator("[data-fresh-problem]")

    page.route("**/admin/overview/", lambda route: route.fulfill(status=503, body="no"))
    expect(problem).to_contain_text("Cannot refresh: the server answered 503", timeout=SOON_MS)
    page.route("**/admin/overview/", lambda route: route.abort())
    page.clock.fast_forward("00:30")
    expect(problem).to_contain_text("the server cannot be reached", timeout=30_000)
    live_on(busy=50)
    page.unroute("**/admin/overview/")
    page.clock.fast_forward("00:30")
    expect(page.locator("#panel-workers")).to_contain_text("50 of 100 slots", timeout=40_000)
    expect(problem).to_be_empty()
    context.clear_cookies()
    expect(problem).to_contain_text("the login has ended", timeout=SOON_MS)
    context.close()


@pytest.mark.parametrize(("scheme", "width"), CORNERS[::-1][: full(1, len(CORNERS))])
def test_overview__of_a_bad_night__reads_at_a_glance(
    visit: Callable[..., Page], shoot: Callable[..., None], scheme: str, width: str
) -> None:
    # D-07
    busy_night()
    size = PHONE if width == "phone" else {"width": 1440, "height": 900}
    page = visit(color_scheme=scheme, viewport=size)
    log_in(page, root())

    for name, address in pages().items():
        page.goto(address)
        page.wait_for_selector("html:not([x-cloak])")
        if scheme == "light":
            shoot(page, f"{width}-{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
        assert barriers(page) == {}, name


# --- what is done from the pages --------------------------------------------------------------


def test_queue__paused_and_resumed_from_its_page__by_one_who_takes_his_time(
    page: Page, shoot: Callable[..., None]
) -> None:
    # W-17, D-06, D-07
    log_in(page, root())
    page.goto(QUEUES)
    row = page.locator(f'[data-key="{CONTENT}"]')

    row.locator("summary").click()
    row.locator("input[name=reason]").fill("provider down")
    make_job("queued", queue=AUDIT)
    page.wait_for_timeout(6_500)
    shoot(page, "queues-pausing")
    expect(row.locator("input[name=reason]")).to_have_value("provider down")
    row.locator("select[name=for_s]").select_option("3600")
    row.locator("form button").click()
    page.wait_for_selector("text=is paused until")
    shoot(page, "queues-paused")
    assert QueuePause.objects.get().reason == "provider down"
    row.locator("form button").click()
    page.wait_for_selector("text=is resumed")

    assert not QueuePause.objects.exists()
    events = AuditEvent.objects.filter(subject_type="queue").order_by("id")
    assert [event.action for event in events] == ["queue.paused", "queue.resumed"]


def test_job__stopped_from_its_page__is_seen_to_be(
    page: Page, processes: Processes, shoot: Callable[..., None]
) -> None:
    # W-15, D-06
    worker = processes.start("rqworker")
    job = enqueue(Probe(action="succeed", sleep_s=60))
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "running", 30.0, worker.output)
    log_in(page, root())
    page.goto(f"/admin/jobs/job/{job.pk}/change/")

    page.click("[data-part=standing] summary")
    shoot(page, "job-stopping")
    page.click("#cancel-form button")
    page.wait_for_selector("text=was asked to stop. Its worker confirms")
    expect(page.locator("#story")).to_contain_text("its worker confirmed after", timeout=SOON_MS)
    shoot(page, "job-stopped")

    assert Job.objects.get(pk=job.pk).state == "cancelled"
    actions = AuditEvent.objects.filter(subject_id=public_id("job", job.pk)).order_by("id")
    assert [event.action for event in actions] == ["job.cancel_requested", "job.cancelled"]
    expect(page.locator("[data-fresh]")).to_be_hidden()


# --- the live log -----------------------------------------------------------------------------


def test_log__followed__adds_what_comes_and_steals_no_place(
    page: Page, shoot: Callable[..., None]
) -> None:
    # O-09, O-02
    for number in range(150):
        tell("job.throttled", kind="builds.run_build", number=str(number))
    log_in(page, root())
    page.goto(LOG)
    lines, box = page.locator(".fs-event"), page.locator("[data-log]")
    expect(lines).to_have_count(150)

    tell("worker.stale", worker="web-1:4711:a")
    expect(lines).to_have_count(151, timeout=SOON_MS)
    expect(lines.last).to_be_in_viewport()
    box.evaluate("box => { box.scrollTop = 100 }")
    tell("job.dead", kind="builds.run_build")
    tell("job.dead", kind="builds.run_build")
    expect(page.locator("[data-log-new]")).to_have_text("2 new below", timeout=SOON_MS)
    shoot(page, "live-behind")

    assert box.evaluate("box => box.scrollTop") == 100
    page.click("[data-log-new]")
    expect(lines.last).to_be_in_viewport()
    expect(page.locator("[data-log-new]")).to_be_hidden()
    assert lines.count() == 153


def test_log__cut_off_and_narrowed_down__goes_on_where_it_was(chromium: Browser, site: str) -> None:
    # O-02: each event once, whatever became of the answers in between
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    tell("build.started", buildId="build_1")
    log_in(page, User.objects.create_superuser("root", password="a long enough pass phrase"))
    page.goto(LOG)
    page.fill("input[name=name]", "build.*")
    page.click("#log-form button")
    page.wait_for_url("**name=build.***")
    names = page.locator(".fs-event-name")
    expect(names).to_have_text(["build.started"])

    page.route("**/tail/**", lambda route: route.abort())
    tell("worker.started", worker="w")
    tell("build.failed", buildId="build_1")
    expect(page.locator("[data-fresh-problem]")).not_to_be_empty(timeout=SOON_MS)
    tell("build.deployed", buildId="build_2")
    page.unroute("**/tail/**")

    expect(names).to_have_text(["build.started", "build.failed", "build.deployed"], timeout=40_000)
    context.close()


def test_pages__that_stay_fresh__keep_to_the_policy(page: Page) -> None:
    # D-02: the fixtures fail this on any breach, also of what is added later
    furnish()
    log_in(page, root())

    for address in ("/admin/", QUEUES, LOG):
        page.goto(address)
        tell("job.dead", kind="<img src=x onerror=alert(1)>")
        page.wait_for_timeout(6_000)
        assert "Updated" in page.inner_text("[data-fresh-age]")
        assert told(page)
