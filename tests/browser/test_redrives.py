"""An operator answers everything a filter matches; another approves; both watch it go (D-07)."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import Group
from playwright.sync_api import Page

from flagship.models import AuditEvent
from jobs.models import FailedJob, Redrive
from tests.browser.complaints import barriers
from tests.browser.steps import LETTERS, log_in, told
from tests.integration.console.rows import make_letter, make_operator
from tests.integration.jobs.letters import make_letters
from tests.processes import Processes, wait_until

REDRIVES = "/admin/jobs/redrive/"
PHONE = {"width": 390, "height": 844}


def test_redrive__planned_started_and_watched__ends_on_its_page(
    page: Page, processes: Processes, shoot: Callable[..., None]
) -> None:
    # D-03, D-07
    make_letters(30, message="the disk is full")
    make_letter(payload={"action": "explode"}, message="the disk is full")
    make_letter(message="something else")
    ana = make_operator()
    ana.groups.add(Group.objects.get(name="operator"))
    log_in(page, ana)

    page.goto(f"{LETTERS}?q=disk+full")
    page.click("text=Answer all that match")
    page.wait_for_selector("#redrive-form")
    shoot(page, "redrive-1-plan")
    assert barriers(page) == {}
    assert "30 of 31 dead letters would be retried" in page.inner_text("#eligible")
    page.fill("input[name=rate_per_s]", "20")
    page.fill("input[name=ramp_s]", "0")
    page.fill("input[name=reason]", "the disk has room again")
    page.click("#redrive-form button")
    page.wait_for_url(f"**{REDRIVES}*/change/")
    shoot(page, "redrive-2-begun")
    scheduler, worker = processes.start("rqscheduler"), processes.start("rqworker")
    page.wait_for_selector("[data-settled]", timeout=60_000)
    shoot(page, "redrive-3-done")
    assert barriers(page) == {}

    redrive = Redrive.objects.get()
    assert (redrive.state, redrive.done, redrive.refused) == ("finished", 30, 1), (
        worker.output() + scheduler.output()
    )
    assert "31 of 31 dead letters" in told(page) and "FINISHED" in told(page).upper()
    assert FailedJob.objects.filter(state="open").count() == 2
    assert AuditEvent.objects.filter(action="redrive.finished").exists()


def test_redrive__above_the_set_size__is_approved_by_another(
    visit: Callable[..., Page], shoot: Callable[..., None]
) -> None:
    # D-06, D-07
    letters = make_letters(3)
    proposed = Redrive.objects.create(
        state="proposed",
        action="discard",
        wanted={"state": "open"},
        bound_died_at=letters[-1].died_at,
        bound_id=letters[-1].pk,
        size=3,
        rate_per_s=10.0,
        ramp_s=0.0,
        canary_size=0,
        canary_wait_s=60.0,
        returns_max=0,
        reason="left over from a drill",
        requested_by="user:ana",
        is_approval_needed=True,
    )
    people = {}
    for name, group in (("ana", "operator"), ("bob", "approver")):
        user = make_operator(name=name)
        user.groups.add(Group.objects.get(name=group))
        people[name] = visit(viewport=PHONE)
        log_in(people[name], user)
        people[name].goto(f"{REDRIVES}{proposed.pk}/change/")
        wide = people[name].evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{wide} px wide"

    shoot(people["ana"], "phone-redrive-proposed")
    assert people["ana"].locator("#approve-form").count() == 0
    people["bob"].click("#approve-form button")
    people["bob"].wait_for_selector("text=Approved: 3 dead letters")
    shoot(people["bob"], "phone-redrive-approved")
    assert barriers(people["bob"]) == {}
    people["ana"].wait_for_selector("text=user:bob")
    people["ana"].click("text=Abort…")
    people["ana"].fill("#abort-form input[name=reason]", "the drill goes on")
    people["ana"].click("#abort-form button")
    people["ana"].wait_for_selector("text=Aborted: 0 were answered")

    wait_until(lambda: Redrive.objects.get().state == "aborted")
    assert FailedJob.objects.filter(state="open").count() == 3
