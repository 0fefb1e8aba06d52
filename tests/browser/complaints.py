"""What is wrong with a page: by its console, by its policy, for people who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
GRAVE = ("serious", "critical")
# Also where something catches the error before the console hears of it.
LISTEN = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.effectiveDirective} refused ${event.blockedURI} ${event.sample}`);
});
"""


def listen(context: BrowserContext) -> list[str]:
    """Return the list that errors and warnings of all its pages are put into as they come."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.page and message.page.url}: {message.text}")

    context.add_init_script(LISTEN)
    context.on("console", note)
    context.on("weberror", lambda found: complaints.append(f"{found.page}: {found.error}"))
    return complaints


def barriers(page: Page) -> dict[str, str]:
    """Return what axe-core finds serious or critical on the page as it is now, and where."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return dict(_described(page.url, found["violations"]))


def _described(url: str, violations: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for violation in violations:
        if violation["impact"] in GRAVE:
            for node in violation["nodes"]:
                told = " ".join(f"{node['html'][:150]} {node['failureSummary']}".split())
                yield f"{violation['id']}: {told}", url
