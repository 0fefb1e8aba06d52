"""What can be clicked and typed in the console works, under the policy that evaluates nothing.

The fixtures fail a test on any error, warning or breach of the policy.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Locator, Page, expect

from flagship.models import AuditEvent
from jobs.models import FailedJob
from tests.browser.places import furnish
from tests.browser.steps import LETTERS, log_in
from tests.browser.test_pages import PHONE, root
from tests.integration.console.rows import PASSWORD, make_letter, make_operator

SIDEBAR = "#nav-sidebar"


def test_scheme__switched_in_the_menu_and_by_keys__is_kept(visit: Callable[..., Page]) -> None:
    # D-02
    page = visit(color_scheme="light")
    html = page.locator("html")
    log_in(page, root())

    for choice, shown in (("Dark", "dark"), ("Light", "light"), ("System", "")):
        page.click(f"{SIDEBAR} >> text=admin")
        page.click(f"text={choice}")
        expect(html).to_have_class(shown)
        page.keyboard.press("Escape")
        page.mouse.click(900, 600)
        page.reload()
        expect(html).to_have_class(shown)
    page.emulate_media(color_scheme="dark")
    page.reload()
    expect(html).to_have_class("dark")
    page.keyboard.press("Control+e")
    expect(html).to_have_class("light")


def test_scheme__switched_before_the_login__is_kept(page: Page) -> None:
    # D-02
    page.goto("/admin/login/")
    expect(page.locator("input[name=username]")).to_be_focused()
    page.click("text=computer")
    page.click("text=Dark")
    expect(page.locator("html")).to_have_class("dark")
    log_in(page, root())
    expect(page.locator("html")).to_have_class("dark")


def test_sidebar__closed__stays_closed_until_it_is_opened(page: Page) -> None:
    # D-02
    log_in(page, root())
    sidebar = page.locator(SIDEBAR)
    expect(sidebar).to_be_visible()

    page.click("text=dock_to_right >> visible=true")
    expect(sidebar).to_be_hidden()
    page.goto(LETTERS)
    expect(sidebar).to_be_hidden()
    page.click("text=dock_to_right >> visible=true")
    expect(sidebar).to_be_visible()
    page.reload()
    expect(sidebar).to_be_visible()


def test_sidebar__on_a_phone__comes_and_goes(visit: Callable[..., Page]) -> None:
    # D-02
    page = visit(viewport=PHONE)
    log_in(page, root())
    sidebar = page.locator(SIDEBAR)
    expect(sidebar).to_be_hidden()

    page.click("text=dock_to_right >> visible=true")
    expect(sidebar).to_be_visible()
    page.click(f"{SIDEBAR} >> text=close >> visible=true")
    expect(sidebar).to_be_hidden()


def test_search__of_the_sidebar__is_walked_by_keys(page: Page) -> None:
    # D-02
    log_in(page, root())

    page.keyboard.press("t")
    search = page.locator("#nav-filter")
    expect(search).to_be_focused()
    search.press_sequentially("e")
    page.wait_for_selector("#search-results a")
    search.press("ArrowDown")
    search.press("ArrowDown")
    search.press("ArrowUp")
    first = page.locator("#search-results a").first
    expect(first).to_have_class(
        "block items-center px-3 py-2 rounded-default truncate bg-base-100"
        " text-base-700 dark:bg-base-700 dark:text-base-200"
    )
    target = first.get_attribute("href")
    search.press("Enter")
    page.wait_for_url(f"**{target}")

    page.focus("#nav-filter")
    page.locator("#nav-filter").press_sequentially("dead")
    page.wait_for_selector("#search-results >> text=Dead letters")
    page.locator("#nav-filter").press("Escape")
    expect(page.locator("#search-results")).to_be_hidden()
    page.locator("#nav-filter").press_sequentially("dead")
    page.click("#search-results >> text=Dead letters")
    page.wait_for_url(f"**{LETTERS}")


def open_palette(page: Page, field: Locator) -> None:
    """Press its keys until the page hears them: on a busy machine its scripts come later."""
    for _ in range(20):
        page.keyboard.press("Control+k")
        with contextlib.suppress(AssertionError):
            expect(field).to_be_focused(timeout=1000)
            return
    expect(field).to_be_focused()


def test_palette__behind_control_k__finds_and_goes(page: Page) -> None:
    # D-02
    log_in(page, root())
    field = page.locator("#search-input-command")

    open_palette(page, field)
    field.press("Enter")
    field.press_sequentially("dead")
    page.wait_for_selector("#command-results-list li")
    expect(page.locator("#command-results-note")).to_contain_text("Found 2 results")
    field.press("Escape")
    field.press("Escape")
    expect(field).to_be_hidden()

    open_palette(page, field)
    field.press_sequentially("letters")
    page.wait_for_selector("#command-results-list li")
    field.press("ArrowDown")
    field.press("Enter")
    page.wait_for_url(f"**{LETTERS}")

    open_palette(page, field)
    field.press_sequentially("no such page")
    expect(page.locator("#command-results-list")).to_have_count(0)
    page.mouse.click(5, 5)
    expect(field).to_be_hidden()


def test_list__searched_filtered_and_turned__answers(page: Page) -> None:
    # D-02
    furnish()
    log_in(page, root())
    page.goto(LETTERS)

    page.click("nav[aria-label=Pages] >> text=Older")
    page.wait_for_url("**before=**")
    expect(page.locator("#result_list tbody")).to_have_count(11)
    page.keyboard.press("/")
    expect(page.locator("#searchbar")).to_be_focused()
    page.keyboard.type('"number 42"')
    page.keyboard.press("Enter")
    page.wait_for_url("**q=**number+42**")
    expect(page.locator("#result_list tbody")).to_have_count(1)

    page.goto(LETTERS)
    page.click("text=Filters")
    sheet = page.locator("#changelist-filter")
    expect(sheet).to_be_visible()
    page.mouse.click(20, 450)
    expect(sheet).to_be_hidden()
    page.click("text=Filters")
    page.select_option("#changelist-filter select >> nth=0", index=1)
    page.click("#changelist-filter button[type=submit]")
    page.wait_for_url("**?**")

    page.goto("/admin/jobs/job/")
    page.click("#main a.end, #main a:text-is('2')")
    page.wait_for_url("**p=2**")
    page.click("#result_list thead a >> nth=0")
    page.wait_for_url("**o=**")


def test_list__rows_of_a_page_chosen_at_once__are_answered(page: Page) -> None:
    # D-03
    for _ in range(55):
        make_letter(runs=1)
    log_in(page, root())
    page.goto(LETTERS)
    run = page.locator("button[name=index]")

    page.check("#action-toggle")
    expect(run).to_be_hidden()
    page.select_option("select[name=action]", "requeue_selected")
    expect(run).to_be_visible()
    bar = page.locator("#changelist-actions")
    box = bar.bounding_box()
    assert box is not None and box["width"] > 900
    run.click()
    page.wait_for_selector("text=50 requeued, 0 skipped")

    assert FailedJob.objects.filter(state="requeued").count() == 50


def test_operator__added_given_permissions_and_deleted__is_so(page: Page) -> None:
    # F-01, D-06
    Group.objects.create(name="Answerers")
    log_in(page, root())

    page.goto("/admin/auth/user/add/")
    page.fill("#id_username", "bea")
    page.fill("#id_password1", PASSWORD)
    page.fill("#id_password2", PASSWORD)
    page.click("button[name=_continue], input[name=_continue]")
    page.wait_for_url("**/change/")

    page.check("#id_is_staff")
    page.locator("#id_user_permissions_input").press_sequentially("discard")
    expect(page.locator("#id_user_permissions_from option")).to_have_count(1)
    page.dblclick("#id_user_permissions_from option >> nth=0")
    expect(page.locator("#id_user_permissions_to option")).to_have_count(1)
    page.select_option("#id_groups_from", label="Answerers")
    page.click("#id_groups_add, #id_groups_add_link")
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_selector("text=was changed successfully")
    bea = User.objects.get(username="bea")
    assert bea.has_perm("jobs.discard_failedjob") and bea.groups.count() == 1

    page.goto(f"/admin/auth/user/{bea.pk}/delete/")
    page.click("#content form [type=submit]")
    page.wait_for_selector("text=was deleted successfully")
    assert AuditEvent.objects.filter(action="admin_user.deleted").count() == 1


def test_group__added_from_the_form_of_an_operator__is_chosen_there(page: Page) -> None:
    # F-01: the theme's menu is moved to the end of the page, and its form is a window of its own.
    vic = make_operator(name="vic")
    log_in(page, root())
    page.goto(f"/admin/auth/user/{vic.pk}/change/")

    page.click("[data-id=related-widget-wrapper-groups] >> text=more_vert")
    with page.expect_popup() as opened:
        page.click("#add_id_groups")
    window = opened.value
    window.fill("#id_name", "Night shift")
    with window.expect_event("close"):
        window.click("button[name=_save], input[name=_save]")

    expect(page.locator("#id_groups_to option")).to_have_text("Night shift")


def test_date__of_a_form__is_taken_from_its_calendar_and_clock(page: Page) -> None:
    # F-01
    vic = make_operator(name="vic")
    log_in(page, root())
    page.goto(f"/admin/auth/user/{vic.pk}/change/")
    day, time = page.locator("#id_last_login_0"), page.locator("#id_last_login_1")

    page.click("#calendarlink0")
    expect(page.locator("#calendarbox0")).to_be_visible()
    page.click("#calendarin0 a >> text='15'")
    expect(day).to_have_value(re.compile(r"\d{4}-\d\d-15"))
    page.click("#clocklink0")
    page.click("#clockbox0 >> text=Noon")
    expect(time).to_have_value("12:00:00")


def test_letter__answered_on_a_phone__in_the_dark__is_so(visit: Callable[..., Page]) -> None:
    # D-03, D-04
    page = visit(color_scheme="dark", viewport=PHONE)
    letter = make_letter()
    log_in(page, root())
    page.goto(f"{LETTERS}{letter.pk}/change/")

    page.click(".fs-fold summary >> nth=0")
    page.click(".fs-discard summary")
    page.fill("#discard-form input[name=reason]", "on the train")
    page.click("#discard-form button")
    page.wait_for_url(f"**{LETTERS}*")

    assert FailedJob.objects.get().reason == "on the train"


@pytest.mark.parametrize("leave", ["menu", "password"])
def test_visitor__leaving_or_changing_the_password__is_served(page: Page, leave: str) -> None:
    # F-01
    ana = make_operator("jobs.view_failedjob")
    log_in(page, ana)
    page.click(f"{SIDEBAR} >> text='ana'")

    if leave == "menu":
        page.click("text=Log out")
        page.wait_for_url("**/admin/logout/")
        page.goto(LETTERS)
        expect(page.locator("input[name=username]")).to_be_visible()
    else:
        page.click("text=Change password")
        page.fill("input[name=old_password]", PASSWORD)
        page.fill("input[name=new_password1]", "another long pass phrase")
        page.fill("input[name=new_password2]", "another long pass phrase")
        page.click("button[type=submit] >> visible=true >> nth=-1")
        page.wait_for_url("**/password_change/done/")


def test_documentation__opened_and_tried__answers(page: Page) -> None:
    # E-09
    page.goto("/v1/docs")
    page.click(".opblock-summary:has-text('/v1/errors')")
    page.click("text=Try it out")
    page.click("text=Execute")
    page.wait_for_selector(".responses-table.live-responses-table >> text=200")
    page.click("text=Authorize >> nth=0")
    page.wait_for_selector(".modal-ux")
