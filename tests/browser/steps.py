"""What an operator does, step by step."""

from __future__ import annotations

from django.contrib.auth.models import User
from playwright.sync_api import Page

from tests.integration.console.rows import PASSWORD

LETTERS = "/admin/jobs/failedjob/"


def log_in(page: Page, user: User) -> None:
    """Log in by the form."""
    page.goto("/admin/")
    page.fill("input[name=username]", user.get_username())
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")


def open_letter(page: Page, kind: str) -> None:
    """Go to the open dead letters and enter the first of a kind."""
    page.click("a[href='/admin/jobs/failedjob/']")
    page.click(f"#result_list a:has-text('{kind}')")
    page.wait_for_selector("#attempts")


def told(page: Page) -> str:
    """What the console says after an action."""
    return page.inner_text("#main")
