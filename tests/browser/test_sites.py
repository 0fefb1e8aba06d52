"""A published site in a browser: it works, and is nobody on the console's origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from builds.models import Project
from tests.browser.steps import log_in
from tests.browser.test_pages import root
from tests.factories import make_account, make_project
from tests.integration.builds.test_sites import deploy
from tests.processes import wait_until

PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head><title>Bakery</title><style>h1 { color: rgb(1, 2, 3) }</style>
<link rel="stylesheet" href="style.css"></head>
<body><h1 onclick="document.title = 'clicked'">Bread</h1>
<script>
  window.found = { origin: self.origin };
  for (const name of ["cookie", "localStorage"]) {
    try { found[name] = String(name === "cookie" ? document.cookie : localStorage); }
    catch (error) { found[name] = error.name; }
  }
  fetch("/admin/", { credentials: "include" })
    .then((answer) => answer.text()).then((text) => { found.console = text.length; })
    .catch((error) => { found.console = error.name; });
</script></body></html>"""
EVIL = b"window.ran = true; document.documentElement.dataset.ran = 'yes'"


def publish(directory: Path) -> Project:
    project = make_project(make_account(credits=1000))
    files = {"index.html": PAGE, "style.css": b"body { margin: 7px }", "evil.js": EVIL}
    deploy(project, files, directory)
    return project


def test_site__of_a_stranger__works_and_reaches_nothing_of_the_operator(
    chromium: Browser, site: str, tmp_path: Path
) -> None:
    # B-05, D-06
    project = publish(tmp_path / "site")
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    log_in(page, root())

    for _ in range(2):  # the second time from the browser's cache, with a 304
        answer = page.goto(f"/sites/{project.site_name}/")
        assert answer is not None and answer.status == 200
        page.wait_for_function("window.found?.console !== undefined")
        found: dict[str, Any] = page.evaluate("window.found")
        refused = "SecurityError"
        assert found == {
            "origin": "null",
            "cookie": refused,
            "localStorage": refused,
            "console": "TypeError",
        }
        look = "getComputedStyle(document.querySelector('h1')).color"
        assert page.evaluate(look) == "rgb(1, 2, 3)"
        page.click("h1")
        assert page.title() == "clicked"
    assert page.evaluate("getComputedStyle(document.body).margin") == "7px"
    context.close()


def test_console__with_a_hole__runs_no_script_of_a_site(
    chromium: Browser, site: str, tmp_path: Path, reports: Any
) -> None:
    # B-05, D-06: same origin, so that 'self' would have let it in.
    project = publish(tmp_path / "site")
    context = chromium.new_context(base_url=site)
    page: Page = context.new_page()
    log_in(page, root())

    page.evaluate(
        """path => {
          const script = document.createElement("script");
          script.src = path;
          document.head.append(script);
        }""",
        f"/sites/{project.site_name}/evil.js",
    )
    wait_until(lambda: len(reports.seen) == 1, 15.0, lambda: str(reports.seen))

    assert "script-src-elem" in reports.seen[0]
    assert page.evaluate("document.documentElement.dataset.ran") is None
    context.close()
