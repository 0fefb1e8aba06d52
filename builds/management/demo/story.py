"""The story, step by step; each step shows what it saw and ends the demo if that is wrong."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from builds.management.demo.batch import Batch
from builds.management.demo.console import Console
from builds.management.demo.failed import check, wait_for
from builds.management.demo.replay import tell_replay
from builds.management.demo.sites import Site, batch_sites, real_sites
from builds.management.demo.statement import tell_statement
from builds.management.demo.teller import Teller

BUILD_TIMEOUT_S: Final = 120.0
JOB_TIMEOUT_S: Final = 60.0
CAUSE: Final = "the warehouse does not answer"
# They run programs of the site: only bubblewrap keeps those to themselves.
NEED_BUBBLEWRAP: Final = {"sphinx", "npm"}


@dataclass(slots=True)
class Story:
    """What the story needs.

    `console` is None when nobody can log in as an operator, `prove` when nobody can run the
    reconciler where the system is. `runs_code` says that sites may bring programs there.
    """

    teller: Teller
    console: Console | None
    prove: Callable[[], dict[str, Any]] | None
    runs_code: bool

    def tell(self) -> dict[str, Any]:
        """Tell it all. Returns: the summary. Raises: DemoFailed."""
        started_at = time.monotonic()
        orders = self._submit_real_sites()
        for site, order in orders:
            self._watch(site, order)
        batch = Batch(self.teller, self._choose_sites(orders[0][1]["projectId"])).tell()
        replay = tell_replay(self.teller, batch[0])
        letters = self._kill_and_mend_a_probe()
        entries, charged = tell_statement(self.teller)
        return {
            "builds": [_told(build) for build in self.teller.builds if build not in batch],
            "batch": [_told(build) for build in batch],
            "replayed": {"done": replay["doneCount"], "charged": replay["chargedCredits"]},
            "deadLettersRequeued": letters,
            "statementEntries": entries,
            "creditsCharged": charged,
            "accountsDrifting": self._reconcile(),
            "seconds": round(time.monotonic() - started_at, 1),
        }

    # --- Steps ---

    def _submit_real_sites(self) -> list[tuple[Site, dict[str, Any]]]:
        self.teller.title("Two real sites are uploaded and submitted")
        orders = [(site, self._submit(site)) for site in real_sites()]
        listed = {build["id"] for build in self.teller.client.items("/v1/builds")}
        missing = {build["id"] for _, build in orders} - listed
        check(not missing, f"{missing} are not in the list of builds")
        return orders

    def _submit(self, site: Site) -> dict[str, Any]:
        """Create a project, upload the archive, submit a build, and then the same once more."""
        client, note = self.teller.client, self.teller.note
        source = self.teller.upload(site)
        note(
            f"{site.name}: {len(site.archive):,} bytes, {source['fileCount']} files,"
            f" sha256 {source['sha256'][:12]}..."
        )
        body = {"projectId": source["projectId"], "sourceId": source["id"]}
        key = f"demo-{uuid.uuid4().hex}"
        first, again = (client.post_raw("/v1/builds", body, key=key) for _ in range(2))
        build: dict[str, Any] = first.json()
        check(again.content == first.content, "the same key was answered differently")
        made = list(client.items("/v1/builds", projectId=source["projectId"]))
        check(len(made) == 1, f"one key made {len(made)} builds")
        note(f"{build['id']}: {build['estimatedCredits']} credits held")
        note("sent again with the same Idempotency-Key: the same answer, one build")
        return build

    def _watch(self, site: Site, build: dict[str, Any]) -> None:
        """Show a build's log as it is written, and visit what it published."""
        teller = self.teller
        teller.title(f"{site.name} is built")
        for line in teller.client.follow(build["streamUrl"], BUILD_TIMEOUT_S):
            teller.note(f"| {line['text']}")
        build = teller.end_of(site, build["id"])
        teller.note(
            f"deployed: {build['artifact']['fileCount']} files,"
            f" {build['artifact']['sizeBytes']:,} bytes, {build['chargedCredits']} credits charged"
        )
        teller.visit(site, build["siteUrl"], build["versionUrl"])
        teller.note(f"published: {build['siteUrl']}")
        teller.note(f"this build, for good: {build['versionUrl']}")

    def _choose_sites(self, project_id: str) -> list[Site]:
        """Ask which builders there are, as a refusal tells, and choose the batch's sites by it."""
        question = {"projectId": project_id, "unpackedBytes": 1, "builder": "none"}
        refusal = self.teller.client.refused("/v1/estimate", question, code="UNKNOWN_BUILDER")
        offered = set(refusal["data"]["builders"])
        return batch_sites(builders=offered if self.runs_code else offered - NEED_BUBBLEWRAP)

    def _kill_and_mend_a_probe(self) -> int:
        teller = self.teller
        teller.title("A job that fails until somebody mends the cause")
        payload = {"action": "fail", "fail_times": 1, "note": CAUSE}
        job = teller.client.post("/v1/jobs", {"kind": "jobs.probe", "payload": payload})
        job = self._wait_job(job["id"], "dead")
        teller.note(f"{job['id']} is {job['state']} after {job['attempts']} attempt: {CAUSE}")
        if self.console is None:
            teller.note("no operator's login was given: it stays a dead letter")
            return 0
        console = self.console
        letter = wait_for(
            "the dead letter", lambda: console.find_dead_letter(job["id"]), JOB_TIMEOUT_S
        )
        check(CAUSE in console.read_dead_letter(letter), "the dead letter does not say its cause")
        path = f"/admin/jobs/failedjob/{letter}/change/"
        teller.note(f"the console shows it at {path}; mended; retry")
        console.requeue(letter)
        job = self._wait_job(job["id"], "succeeded")
        teller.note(f"{job['id']} is {job['state']} after {job['attempts']} attempts")
        return 1

    def _reconcile(self) -> int | None:
        """Prove every account from its entries; return how many drift, None if nobody can."""
        self.teller.title("The reconciler's zero")
        if self.prove is None:
            self.teller.note(
                "the system is elsewhere: `manage.py reconcile_credits` has to run there"
            )
            return None
        found = self.prove()
        drifting, broken = len(found["drifting"]), len(found["brokenStatements"])
        is_proved = found["holds"] and found["accounts"] > 0 and not drifting and not broken
        check(is_proved, f"the reconciler says {found}")
        self.teller.note(
            f"accounts recomputed from their entries alone: {found['accounts']};"
            f" drifting: {drifting}; broken statements: {broken}"
        )
        return drifting

    def _wait_job(self, job_id: str, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.teller.client.get(f"/v1/jobs/{job_id}")
            return job if job["state"] == state else None

        return wait_for(f"{job_id} being {state}", look, JOB_TIMEOUT_S)


def _told(build: dict[str, Any]) -> dict[str, Any]:
    """Return what the summary says of a build."""
    return {
        "id": build["id"],
        "builder": build["builder"],
        "state": build["state"],
        "url": build["versionUrl"],
    }
