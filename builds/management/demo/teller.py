"""What every chapter of the story needs: somebody to ask, and somebody to tell."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builds.management.demo.client import Client
from builds.management.demo.failed import check
from builds.management.demo.sites import Site

FINAL_BUILD = {"deployed", "failed", "cancelled"}


@dataclass(slots=True)
class Teller:
    """Who tells, and the builds that have ended so far, in that order."""

    client: Client
    say: Callable[[str], None]
    builds: list[dict[str, Any]] = field(default_factory=list)

    def title(self, text: str) -> None:
        """Begin a step."""
        self.say(f"\n{text}")

    def note(self, text: str) -> None:
        """Say what was seen."""
        self.say(f"  {text}")

    def upload(self, site: Site) -> dict[str, Any]:
        """Make a project for a site and upload its archive; return the source."""
        wanted = {"name": f"{site.name} {uuid.uuid4().hex[:4]}", "defaultBuilder": site.builder}
        project = self.client.post("/v1/projects", wanted)
        return self.client.upload(f"/v1/projects/{project['id']}/sources", site.archive)

    def end_of(self, site: Site, build_id: str) -> dict[str, Any]:
        """Return a build that has ended as its site has to, for whatever reason.

        Raises: DemoFailed, with the build's own reason.
        """
        build = self.client.get(f"/v1/builds/{build_id}")
        check(build["state"] in FINAL_BUILD, f"{build_id} has ended but is {build['state']}")
        said = f"{site.name} is {build['state']} and not {site.end}: {build['error']}"
        check(build["state"] == site.end, said)
        check(bool(build["error"]) == (site.end == "failed"), f"{build_id} gives no reason, or one")
        self.builds.append(build)
        return build

    def visit(self, site: Site, *addresses: str) -> None:
        """Open a site's pages below each address, as a visitor. Raises: DemoFailed."""
        for path, known in site.pages.items():
            for base in addresses:
                check(known in self.client.page(base + path), f"{base}{path} misses {known!r}")
