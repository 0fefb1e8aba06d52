"""An operator before many failures: by cause, one of them edited, the old ones cleaned up."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from flagship.models import AuditEvent
from jobs.models import FailedJob, FailureGroup, Job
from jobs.payloads import CleanDeadLetters
from jobs.services.failure_groups import acknowledge_group
from tests.browser.steps import LETTERS, log_in, told
from tests.browser.test_pages import PHONE
from tests.integration.console.rows import TRACEBACK, make_letter, make_operator
from tests.integration.jobs.heaps import make_letters

GROUPS = "/admin/jobs/failuregroup/"
DISK, KEY, TIME = ("v2-" + digit * 40 for digit in "123")
OPERATOR = (
    *("jobs.view_failedjob", "jobs.view_failuregroup", "jobs.view_job"),
    *("jobs.view_lettertombstone", "jobs.acknowledge_failuregroup", "jobs.edit_failedjob"),
    *("jobs.requeue_failedjob", "jobs.clean_failedjob", "flagship.view_auditevent"),
)


def fail_a_lot() -> None:
    """Three causes: one by far the most, one that is known, one of long ago."""
    for hours in range(1, 24):
        make_letters(hours * 7 % 40, fingerprint=DISK, days=hours / 24, message="disk is full")
    make_letters(60, fingerprint=KEY, error_class="KeyError", message="'size'", days=0.3)
    make_letters(
        12, fingerprint=TIME, error_class="httpx.ConnectTimeout", message="timed out", days=45.0
    )
    FailedJob.objects.filter(fingerprint=DISK).update(traceback=TRACEBACK)
    acknowledge_group(fingerprint=KEY, actor="user:eve", note="fixed in the next release")
    make_letters(5, fingerprint=KEY, error_class="KeyError", message="'size'")


def test_failures__by_cause__are_understood_and_acknowledged(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-07
    fail_a_lot()
    log_in(page, make_operator(*OPERATOR))

    page.goto(LETTERS)
    page.click("text=By cause")
    page.wait_for_url(f"**{GROUPS}")
    shoot(page, "groups-1-list")
    assert page.locator("#result_list tbody tr").count() == 3
    page.click(f"a[href*='{DISK}/change']")
    page.wait_for_selector("#trend")
    page.fill("#note-form textarea", "The volume of web-1 is full; ordered a larger one.")
    shoot(page, "groups-2-one")
    page.click("#note-form button:has-text('Acknowledge')")
    page.wait_for_selector("text=Acknowledged.")
    shoot(page, "groups-3-acknowledged")

    assert "Withdraw the acknowledgement" in told(page)
    assert FailureGroup.objects.get(pk=DISK).acknowledged_by == "user:ana"
    assert AuditEvent.objects.filter(action="failure_group.acknowledged").count() == 2


def test_failures__page_by_page__come_back_to_the_first(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-02
    make_letters(130)
    log_in(page, make_operator(*OPERATOR))
    page.goto(LETTERS)
    first = page.locator("#result_list a").first.get_attribute("href")
    shoot(page, "pages-1-first")

    page.click(".fs-pages a:has-text('Older')")
    page.wait_for_selector(".fs-pages a:has-text('Newer')")
    shoot(page, "pages-2-second")
    page.click(".fs-pages a:has-text('Oldest')")
    page.wait_for_selector(".fs-pages:not(:has-text('Oldest'))")
    rows = page.locator("#result_list tbody tr").count()
    page.click(".fs-pages a:has-text('Newest')")
    page.wait_for_selector(".fs-pages:not(:has-text('Newest'))")

    assert rows == 50
    assert page.locator("#result_list a").first.get_attribute("href") == first
    assert "130 dead letters" in page.inner_text(".fs-pages")


def test_dead_letter__edited__is_checked_compared_and_retried(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-07
    letter = make_letter(payload={"action": "fail", "note": "no space", "steps": 3})
    log_in(page, make_operator(*OPERATOR))

    page.goto(f"{LETTERS}{letter.pk}/change/")
    shoot(page, "edit-0-letter")
    page.click("#edit-link")
    page.fill("#edit-form textarea", '{"action": "explode", "steps": 3}')
    page.click("#edit-form button")
    page.wait_for_selector("#refused")
    shoot(page, "edit-1-refused")
    page.fill("#edit-form textarea", '{"action": "succeed", "note": "no space", "steps": 3}')
    page.click("#edit-form button")
    page.wait_for_selector("#requeue-edited-form")
    shoot(page, "edit-2-differs")
    page.click("#requeue-edited-form button")
    page.wait_for_url(f"**{LETTERS}*")
    page.goto(f"{LETTERS}{letter.pk}/change/")
    shoot(page, "edit-3-done")

    assert "Sent back with another payload" in told(page)
    assert Job.objects.get(pk=letter.job_id).payload["action"] == "succeed"
    letter.refresh_from_db()
    assert letter.payload["action"] == "fail"


def test_old_letters__looked_at_first__are_cleaned_up_by_a_job(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-04
    fail_a_lot()
    acknowledge_group(fingerprint=TIME, actor="user:eve")
    log_in(page, make_operator(*OPERATOR))

    page.goto(LETTERS)
    page.click("text=Clean up…")
    page.wait_for_selector("#going")
    shoot(page, "cleanup-1-look")
    assert "Would be deleted: 12" in told(page)
    page.fill("#clean-form input[name=reason]", "nobody needs them")
    page.click("#clean-form button")
    page.wait_for_selector("text=The cleanup has been started")

    job = Job.objects.get(kind=CleanDeadLetters.KIND)
    assert (job.payload["actor"], job.payload["reason"]) == ("user:ana", "nobody needs them")


def test_failures__at_phone_width__fit(page: Page, shoot: Callable[..., None]) -> None:
    # D-02
    fail_a_lot()
    letter = make_letter()
    log_in(page, make_operator(*OPERATOR))
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    for name, address in (
        ("groups", GROUPS),
        ("group", f"{GROUPS}{DISK}/change/"),
        ("pages", LETTERS),
        ("edit", f"{LETTERS}{letter.pk}/edit/"),
        ("cleanup", f"{LETTERS}cleanup/"),
    ):
        page.goto(address)
        shoot(page, f"phone-{name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{address} is {wide} px wide"
