"""Every page under its Content-Security-Policy, in both schemes and both widths, and for axe-core.

The fixtures fail a test on any line in the browser's console and on any report of the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.complaints import barriers
from tests.browser.places import furnish, places
from tests.browser.reports import Reports
from tests.browser.steps import log_in
from tests.browser.test_pages import PHONE, root
from tests.processes import wait_until
from tests.soak import full

WIDTHS = {"wide": {"width": 1440, "height": 900}, "phone": PHONE}
CORNERS = [("dark", "wide"), ("light", "phone"), ("light", "wide"), ("dark", "phone")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("scheme", "width"), CORNERS[: full(2, len(CORNERS))])
def test_page__of_every_kind__keeps_to_the_policy_and_shuts_nobody_out(
    scheme: str, width: str, visit: Callable[..., Page], shoot: Callable[..., None]
) -> None:
    # D-02, C-07, E-09
    furnish()
    page = visit(color_scheme=scheme, viewport=WIDTHS[width])
    found: dict[str, str] = {}
    page.goto("/admin/login/")
    found |= barriers(page)
    log_in(page, root())

    visited, paths = 0, list(places())
    # A phone shows every fourth page in each run, and all of them in the soak.
    for path in paths[:: full(4, 1)] if width == "phone" else paths:
        answer = page.goto(path)
        assert answer is not None and answer.status == 200, path
        policy = answer.header_value("content-security-policy") or ""
        assert "script-src 127.0.0.1:" in policy and "unsafe" not in policy, path
        if path == "/v1/docs":
            page.wait_for_selector(".opblock-summary")
        else:
            page.wait_for_selector("html:not([x-cloak])")
            shown = page.evaluate("document.documentElement.className")
            assert shown == ("dark" if scheme == "dark" else ""), path
            if width == "wide":
                found |= barriers(page)
            shoot(page, f"walk-{width}-{visited}")
        visited += 1

    assert visited > (40 if width == "wide" else full(10, 40))
    if found:
        pytest.fail("\n".join(f"{url}: {told}" for told, url in found.items()))


def test_policy__broken_by_a_page__is_seen(chromium: Any, site: str, reports: Reports) -> None:
    # D-02: a proof must be able to see. Each of these ran before there was a policy.
    planted = {
        "script-src-elem": "const s = document.createElement('script'); s.text = 'window.ran = 1';"
        " document.head.append(s)",
        "script-src": "eval('window.ran = 1')",
        "script-src-attr": "document.body.setAttribute('onclick', 'window.ran = 1')",
        "style-src-elem": "const s = document.createElement('style'); s.textContent = 'a{}';"
        " document.head.append(s)",
        "style-src-attr": "document.body.setAttribute('style', 'color: red')",
        "img-src": "new Image().src = 'http://127.0.0.1:9/x.png'",
        "connect-src": "fetch('http://127.0.0.1:9/').catch(() => 0)",
        "frame-src": "const f = document.createElement('iframe'); f.src = '/healthz';"
        " document.body.append(f)",
    }
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    page.goto("/admin/login/")
    for code in planted.values():
        # Through a timer: what the test itself evaluates is not under the page's policy.
        page.evaluate("code => setTimeout(new Function(code))", f"try {{ {code} }} catch {{}}")
    wait_until(lambda: len(reports.seen) >= len(planted), 15.0, lambda: str(reports.seen))
    ran = page.evaluate("window.ran")
    context.close()

    assert ran is None
    assert {line.split(": ")[1] for line in reports.seen} == set(planted)
