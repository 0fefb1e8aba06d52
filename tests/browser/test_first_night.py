"""An operator's first night: from the overview alone to the cause, and to the quiet (D-07)."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import Group
from playwright.sync_api import Page, expect

from jobs.models import FailedJob, Job
from tests.browser.complaints import barriers
from tests.browser.steps import log_in
from tests.factories import make_account
from tests.integration.builds.rows import make_build_in
from tests.integration.console.rows import make_letter, make_operator
from tests.integration.jobs.letters import make_letters
from tests.processes import Processes

CAUSE = "f" * 32


def test_operator__new_to_it__finds_why_mends_it_and_sees_it_drain(
    page: Page, processes: Processes, shoot: Callable[..., None]
) -> None:
    # D-03, D-07: no address is typed, nothing is looked for in the menu
    failed = make_build_in("failed", make_account())
    make_letters(5, message="no space left", fingerprint=CAUSE)
    make_letter(payload={"action": "explode"}, message="no space left", fingerprint=CAUSE)
    processes.start("rqscheduler")
    processes.start("rqworker")
    ana = make_operator(name="ana")
    ana.groups.add(Group.objects.get(name="operator"))
    log_in(page, ana)

    expect(page.locator("#panel-builds")).to_contain_text(failed.error_message)
    page.click(f"#panel-builds >> text={failed.project.slug}")
    page.wait_for_selector("h2:has-text('Log')")
    page.go_back()

    page.click(".fs-alarm:has-text('nobody has acknowledged')")
    page.fill("#note-form textarea", "The disk of web-2 was full; it is larger now.")
    page.click("text=Acknowledge")
    page.wait_for_selector("text=Acknowledged.")
    shoot(page, "night-1-acknowledged")
    assert barriers(page) == {}

    page.click("#newest a >> nth=0")
    page.click("#edit-link")
    page.fill("#edit-form textarea", '{"action": "succeed"}')
    page.click("#edit-form button")
    page.click("#requeue-edited-form button")
    page.wait_for_selector("#result_list")
    page.click("#result_list tbody a >> nth=0")
    page.click("text=The same cause")

    page.click("text=Answer its 5 open letters")
    page.fill("input[name=reason]", "the disk is larger now")
    page.fill("input[name=ramp_s]", "0")
    page.click("#redrive-form button")
    page.wait_for_selector("[data-settled]", timeout=60_000)
    shoot(page, "night-2-drained")
    page.click("a[href$='/failuregroup/" + CAUSE + "/change/']")
    expect(page.locator("dt:has-text('Open letters') + dd")).to_have_text("none")

    page.click("#nav-sidebar a[href='/admin/'] >> nth=0")
    expect(page.locator(".fs-alarm-none")).to_be_visible()
    assert {*FailedJob.objects.values_list("state", flat=True)} == {"requeued"}
    done = Job.objects.filter(pk__in=FailedJob.objects.values("job_id"))
    assert {*done.values_list("state", flat=True)} == {"succeeded"}
