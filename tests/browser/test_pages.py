"""Dead letters at a glance and on a phone; every page of the console is walked by test_walk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.models import User
from playwright.sync_api import Page

from jobs.queues import AUDIT, BUILDS, NOTIFICATIONS
from tests.browser.steps import LETTERS, log_in
from tests.integration.console.rows import PASSWORD, make_letter
from tests.integration.console.world import make_world

PHONE = {"width": 390, "height": 844}


def root() -> User:
    """May see everything."""
    return User.objects.create_superuser("admin", password=PASSWORD)


def test_page__at_phone_width__is_usable(page: Page, shoot: Callable[..., None]) -> None:
    # D-02
    world = make_world("A bakery with a rather long name, Sons and Daughters")
    log_in(page, root())
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    for name, address in (("list", LETTERS), ("letter", f"{LETTERS}{world.letter.pk}/change/")):
        page.goto(address)
        shoot(page, f"phone-{name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{address} is {wide} px wide"
    assert page.is_visible("#requeue-form button")


def test_list__of_varied_dead_letters__reads_at_a_glance(
    page: Page, shoot: Callable[..., None]
) -> None:
    # D-02
    world = make_world()
    for hours, (queue, kind, error, message) in enumerate(
        (
            (BUILDS, "builds.run_build", "builtins.MemoryError", "build was killed: out of memory"),
            (NOTIFICATIONS, "flagship.send_notification", "httpx.ConnectTimeout", "timed out"),
            (AUDIT, "flagship.record", "django.db.utils.OperationalError", "server closed " * 20),
        )
    ):
        make_letter(
            queue=queue,
            kind=kind,
            error_class=error,
            message=message,
            died_ago=timedelta(hours=hours * 31, minutes=4),
            organization_id=world.organization.id,
        )
    log_in(page, root())

    page.goto(LETTERS)
    shoot(page, "list-varied")

    assert page.locator("#result_list tbody tr").count() == 4
