"""The API's documentation in a browser: whole, from this host alone, with nothing inline."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import Page

from flagship.api.documents import schema_json


def test_documentation__under_its_policy__shows_every_operation(
    page: Page, site: str, shoot: Callable[..., None]
) -> None:
    # E-09; the page fixture fails on every violation that the browser reports.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    paths = json.loads(schema_json())["paths"]

    page.goto("/v1/docs")
    page.locator(".opblock").first.wait_for()
    shoot(page, "docs")

    assert page.locator(".opblock").count() == sum(len(item) for item in paths.values())
    assert page.locator(".opblock-deprecated").count() > 5
    page.locator("#operations-builds-postBuilds .opblock-summary-control").click()
    page.get_by_text("BUILD_ALREADY_RUNNING").first.wait_for()
    page.get_by_role("button", name="Try it out").click()
    shoot(page, "docs-operation")
    assert all(url.startswith((f"{site}/", "data:")) for url in asked), asked
    assert any(url.endswith("/v1/schema") for url in asked)
