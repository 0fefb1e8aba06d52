"""The story, step by step; each step shows what it saw and ends the demo if that is wrong."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builds.management.demo.client import Client
from builds.management.demo.console import Console
from builds.management.demo.failed import check, wait_for
from builds.management.demo.ledger import charged_to, check_ledger
from builds.management.demo.sites import Site, broken_site, real_sites

BUILD_TIMEOUT_S = 120.0
JOB_TIMEOUT_S = 60.0
FINAL_BUILD = {"deployed", "failed", "cancelled"}
CAUSE = "the warehouse does not answer"


@dataclass(slots=True)
class Story:
    """What is told so far. `console` is None when nobody can log in as an operator."""

    client: Client
    console: Console | None
    say: Callable[[str], None]
    builds: list[dict[str, Any]] = field(default_factory=list)

    def tell(self) -> dict[str, Any]:
        """Tell it all. Returns: the summary. Raises: DemoFailed."""
        started_at = time.monotonic()
        orders = self._submit_real_sites()
        for site, order in orders:
            self._watch(site, order)
        self._submit_broken_site()
        letters = self._kill_and_mend_a_probe()
        charged = self._show_the_ledger()
        return {
            "builds": [
                {"id": build["id"], "state": build["state"], "url": build["versionUrl"]}
                for build in self.builds
            ],
            "creditsCharged": charged,
            "deadLettersRequeued": letters,
            "seconds": round(time.monotonic() - started_at, 1),
        }

    def title(self, text: str) -> None:
        """Begin a step."""
        self.say(f"\n{text}")

    def note(self, text: str) -> None:
        """Say what was seen."""
        self.say(f"  {text}")

    # --- Steps ---

    def _submit_real_sites(self) -> list[tuple[Site, dict[str, Any]]]:
        self.title("Two real sites are uploaded and submitted")
        orders = [(site, self._submit(site)) for site in real_sites()]
        listed = {build["id"] for build in self.client.items("/v1/builds")}
        missing = {build["id"] for _, build in orders} - listed
        check(not missing, f"{missing} are not in the list of builds")
        return orders

    def _submit(self, site: Site) -> dict[str, Any]:
        """Create a project, upload the archive, submit a build, and then the same once more."""
        wanted = {"name": f"{site.name} {uuid.uuid4().hex[:4]}", "defaultBuilder": site.builder}
        project = self.client.post("/v1/projects", wanted)
        source = self.client.upload(f"/v1/projects/{project['id']}/sources", site.archive)
        self.note(
            f"{site.name}: {len(site.archive):,} bytes, {source['fileCount']} files,"
            f" sha256 {source['sha256'][:12]}..."
        )
        body = {"projectId": project["id"], "sourceId": source["id"]}
        key = f"demo-{uuid.uuid4().hex}"
        first, again = (self.client.post_raw("/v1/builds", body, key=key) for _ in range(2))
        build: dict[str, Any] = first.json()
        check(again.content == first.content, "the same key was answered differently")
        made = list(self.client.items("/v1/builds", projectId=project["id"]))
        check(len(made) == 1, f"one key made {len(made)} builds")
        self.note(f"{build['id']}: {build['estimatedCredits']} credits held")
        self.note("sent again with the same Idempotency-Key: the same answer, one build")
        return build

    def _watch(self, site: Site, build: dict[str, Any]) -> None:
        self.title(f"{site.name} is built")
        build = self._follow(build)
        check(build["state"] == "deployed", f"{site.name} was not deployed: {build['error']}")
        self.note(
            f"deployed: {build['artifact']['fileCount']} files,"
            f" {build['artifact']['sizeBytes']:,} bytes, {build['chargedCredits']} credits charged"
        )
        for path, known in site.pages.items():
            for base in (build["siteUrl"], build["versionUrl"]):
                check(known in self.client.page(base + path), f"{base}{path} misses {known!r}")
        self.note(f"published: {build['siteUrl']}")
        self.note(f"this build, for good: {build['versionUrl']}")

    def _submit_broken_site(self) -> None:
        self.title("A site that cannot be built")
        before = self.client.get("/v1/credits/account")["available"]
        build = self._follow(self._submit(broken_site()))
        check(build["state"] == "failed", f"the broken site is {build['state']}")
        check(bool(build["error"]), "a failed build does not say why")
        self.note(f"failed: {build['error']['code']}: {build['error']['message']}")
        after = self.client.get("/v1/credits/account")["available"]
        check(after == before, f"{before} credits were available before, {after} after")
        self.note(f"its credits are back: {after:,} available, as before")

    def _kill_and_mend_a_probe(self) -> int:
        self.title("A job that fails until somebody mends the cause")
        payload = {"action": "fail", "fail_times": 1, "note": CAUSE}
        job = self.client.post("/api/jobs", {"kind": "jobs.probe", "payload": payload})
        job = self._wait_job(job["id"], "dead")
        self.note(f"{job['id']} is {job['state']} after {job['attempts']} attempt: {CAUSE}")
        if self.console is None:
            self.note("no operator's login was given: it stays a dead letter")
            return 0
        console = self.console
        letter = wait_for(
            "the dead letter", lambda: console.find_dead_letter(job["id"]), JOB_TIMEOUT_S
        )
        check(CAUSE in console.read_dead_letter(letter), "the dead letter does not say its cause")
        self.note(f"the console shows it at /admin/jobs/failedjob/{letter}/change/; mended; retry")
        console.requeue(letter)
        job = self._wait_job(job["id"], "succeeded")
        self.note(f"{job['id']} is {job['state']} after {job['attempts']} attempts")
        return 1

    def _show_the_ledger(self) -> int:
        self.title("The ledger adds up")
        account = self.client.get("/v1/credits/account")
        entries = list(self.client.items("/v1/credits/entries"))
        for line in check_ledger(account, entries, {b["reservationId"] for b in self.builds}):
            self.note(line)
        for build in self.builds:
            said, taken = build["chargedCredits"] or 0, charged_to(entries, build["reservationId"])
            check(said == taken, f"{build['id']} was charged {said}, the ledger took {taken}")
        charged = sum(build["chargedCredits"] or 0 for build in self.builds)
        self.note(f"{charged} credits charged, to each build what its reservation took")
        return charged

    # --- Waiting ---

    def _follow(self, ordered: dict[str, Any]) -> dict[str, Any]:
        """Show a build's log as it is written, to its end; return the ended build."""
        for line in self.client.follow(ordered["streamUrl"], BUILD_TIMEOUT_S):
            self.note(f"| {line['text']}")
        build = self.client.get(f"/v1/builds/{ordered['id']}")
        check(build["state"] in FINAL_BUILD, f"{build['id']} has ended but is {build['state']}")
        self.builds.append(build)
        return build

    def _wait_job(self, job_id: str, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.client.get(f"/api/jobs/{job_id}")
            return job if job["state"] == state else None

        return wait_for(f"{job_id} being {state}", look, JOB_TIMEOUT_S)
