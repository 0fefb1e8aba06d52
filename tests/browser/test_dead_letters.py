"""Proof 8: an operator at the dead letters, from the login to the job that runs again."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from flagship.models import AuditEvent
from jobs.models import FailedJob, Job
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.browser.steps import LETTERS, log_in, open_letter, told
from tests.integration.console.rows import make_letter, make_operator
from tests.processes import Processes, wait_until

OPERATOR = (
    "jobs.view_failedjob",
    "jobs.view_job",
    "jobs.requeue_failedjob",
    "jobs.discard_failedjob",
    "flagship.view_auditevent",
)


def test_dead_letter__read_and_retried__leaves_and_its_job_runs(
    page: Page, processes: Processes, shoot: Callable[..., None]
) -> None:
    # D-01, D-02, D-03, D-06
    worker = processes.start("rqworker")
    job = enqueue(Probe(action="fail", fail_times=1, note="the disk is full"))
    wait_until(FailedJob.objects.exists, 30.0, worker.output)
    ana = make_operator(*OPERATOR)

    log_in(page, ana)
    open_letter(page, "jobs.probe")
    trace = page.inner_text("details[open] .fs-trace")
    shoot(page, "story-1-letter")
    page.click("#requeue-form button")
    page.wait_for_url(f"**{LETTERS}*")
    shoot(page, "story-2-left")

    assert "RuntimeError: the disk is full" in trace and "handlers.py" in trace
    assert "requeued" in told(page)
    assert page.locator("#result_list").count() == 0
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "succeeded", 30.0, worker.output)
    assert Job.objects.get(pk=job.pk).attempts == 2
    assert AuditEvent.objects.get(action="job.requeued").actor == "user:ana"


def test_dead_letter__discarded__asks_for_the_reason_and_keeps_it(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-04, D-06
    letter = make_letter()
    log_in(page, make_operator(*OPERATOR))

    open_letter(page, "jobs.probe")
    page.click(".fs-discard summary")
    page.click("#discard-form button")
    still_here = "/change/" in page.url
    shoot(page, "discard-1-reason")
    page.fill("#discard-form input[name=reason]", "left over from a drill")
    page.click("#discard-form button")
    page.wait_for_url(f"**{LETTERS}*")
    page.goto(f"{LETTERS}{letter.pk}/change/")
    shoot(page, "discard-2-done")

    assert still_here
    assert "left over from a drill" in told(page) and "user:ana" in told(page)
    assert page.locator("#requeue-form, #discard-form").count() == 0
    assert AuditEvent.objects.get(action="job.discarded").actor == "user:ana"


def test_dead_letters__many_selected__are_retried_and_counted(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-03
    for _ in range(4):
        make_letter()
    log_in(page, make_operator(*OPERATOR))
    page.goto(LETTERS)

    page.click("#action-toggle")
    page.select_option("select[name=action]", "requeue_selected")
    shoot(page, "bulk-1-selected")
    page.click("button[name=index]")
    page.wait_for_selector("text=4 requeued, 0 skipped")

    assert FailedJob.objects.filter(state="requeued").count() == 4


def test_dead_letters__many_discarded__ask_for_the_reason_once(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-04
    for _ in range(3):
        make_letter()
    log_in(page, make_operator(*OPERATOR))
    page.goto(LETTERS)

    page.click("#action-toggle")
    page.select_option("select[name=action]", "discard_selected")
    page.click("button[name=index]")
    page.wait_for_selector("#discard-selected-form")
    shoot(page, "bulk-2-reason")
    page.fill("#discard-selected-form input[name=reason]", "flood of test data")
    page.click("#discard-selected-form button")
    page.wait_for_selector("text=3 discarded, 0 skipped")

    assert FailedJob.objects.filter(reason="flood of test data").count() == 3


def test_dead_letters__filtered_by_the_form__show_what_matches(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-02
    make_letter(error_class="builtins.MemoryError", message="out of memory")
    make_letter()
    log_in(page, make_operator(*OPERATOR))
    page.goto(LETTERS)

    page.click("text=Filters")
    page.wait_for_selector("#changelist-filter", state="visible")
    shoot(page, "filters")
    page.goto(f"{LETTERS}?error_class=builtins.MemoryError")
    rows = page.locator("#result_list tbody tr").count()
    page.fill("#searchbar", "no such words")
    page.press("#searchbar", "Enter")
    page.wait_for_selector("text=Nothing here")
    shoot(page, "empty")

    assert rows == 1


def test_dead_letter__for_a_viewer__has_no_buttons_and_a_forged_post_is_403(page: Page) -> None:
    # D-06
    letter = make_letter()
    log_in(page, make_operator("jobs.view_failedjob", name="vic"))

    open_letter(page, "jobs.probe")
    buttons = page.locator(".fs-button").count()
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    answers = [
        page.request.post(
            f"{LETTERS}{letter.pk}/{answer}/",
            form={"csrfmiddlewaretoken": token, "reason": "because"},
            headers={"Referer": page.url},
        ).status
        for answer in ("requeue", "discard")
    ]

    assert buttons == 0
    assert answers == [403, 403]
    assert FailedJob.objects.get().state == "open"
