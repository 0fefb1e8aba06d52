"""The console in headless Chromium, served by the real server over a database with real commits.

Screenshots are made where FLAGSHIP_SCREENSHOTS names a directory for them.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.complaints import listen
from tests.browser.reports import Reports, receiving
from tests.processes import Processes, wait_until

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = {"width": 1440, "height": 900}


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A browser for these tests, not longer: Playwright's event loop would be in others' way.

    Without one on PATH the browser tests are skipped.
    """
    found = next((path for name in EXECUTABLES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("browser tests skipped: no Chromium on PATH")
    # Playwright keeps an event loop in this thread, which Django takes for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
            yield browser
            browser.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def reports() -> Iterator[Reports]:
    """What browsers report of the server's Content-Security-Policy."""
    with receiving() as reports:
        yield reports


@pytest.fixture
def site(chromium: Browser, live_db: None, processes: Processes, reports: Reports) -> str:
    """The address of a running server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = processes.spawn(
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1", "--blocking-threads", "4", "--no-ws"),
            *("--log-level", "warning", "config.wsgi:application"),
        ],
        env={"CSP_REPORT_URL": reports.url},
    )

    def is_up() -> bool:
        with socket.socket() as door:
            return door.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_up, 30.0, server.output)
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def visit(chromium: Browser, site: str, reports: Reports) -> Iterator[Callable[..., Page]]:
    """Open a page of a fresh visitor, told how (`color_scheme="dark"`, `viewport=...`).

    The test fails when a browser complains: an error, a warning, a breach of the policy.
    """
    contexts: list[BrowserContext] = []
    complaints: list[list[str]] = []

    def come(**how: Any) -> Page:
        options: dict[str, Any] = {"viewport": WIDE, "base_url": site, **how}
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        complaints.append(listen(context))
        return context.new_page()

    yield come
    for context in contexts:
        context.close()
    assert [line for lines in complaints for line in lines] == []
    assert reports.seen == []


@pytest.fixture
def page(visit: Callable[..., Page]) -> Page:
    """A page of a fresh visitor with a wide screen."""
    return visit()


@pytest.fixture
def shoot() -> Callable[..., None]:
    """Save the page as it looks, in both colour schemes, where somebody asked for pictures."""
    wanted = os.environ.get("FLAGSHIP_SCREENSHOTS")
    directory = Path(wanted or ".")
    if wanted:
        directory.mkdir(parents=True, exist_ok=True)

    def save(page: Page, name: str) -> None:
        for scheme in ("light", "dark") if wanted else ():
            page.evaluate("scheme => { document.documentElement.className = scheme }", scheme)
            page.wait_for_timeout(150)
            page.screenshot(path=directory / f"{name}-{scheme}.png", full_page=True)

    return save
