"""Five sites in one batch: three are deployed, one cannot be built, one is cancelled meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from builds.management.demo.failed import check
from builds.management.demo.ledger import resolved_by
from builds.management.demo.sites import Site
from builds.management.demo.teller import Teller

BUILD_TIMEOUT_S: Final = 180.0
# How the events of a build end that was cancelled while it was building, and where it stood then.
CANCELLED: Final = [("build.cancel_requested", "building"), ("build.cancelled", "cancelled")]


@dataclass(slots=True)
class Batch:
    """The chapter, as it is told."""

    teller: Teller
    sites: Sequence[Site]

    def tell(self) -> list[dict[str, Any]]:
        """Tell it; return the ended builds in the order of their sites. Raises: DemoFailed."""
        self.teller.title("Five sites in one batch")
        builds = self._submit([self.teller.upload(site) for site in self.sites])
        orders = list(zip(self.sites, builds, strict=True))
        # The one that has to be caught in time comes first; the others are built meanwhile.
        ends = {
            build["id"]: self._cancel(site, build)
            for site, build in orders
            if site.end == "cancelled"
        }
        self.teller.title("The others, built meanwhile")
        for site, build in orders:
            if site.end != "cancelled":
                ends[build["id"]] = self._await(site, build)
        return [ends[build["id"]] for build in builds]

    # --- Steps ---

    def _submit(self, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask what each will cost, submit them together, and the same once more."""
        client = self.teller.client
        expected = 0
        for site, source in zip(self.sites, sources, strict=True):
            question = {"projectId": source["projectId"], "sourceId": source["id"]}
            estimate = client.post("/v1/estimate", question)
            expected += estimate["likelyCredits"]
            self.teller.note(
                f"{site.builder:<7} {site.name}: {source['fileCount']:,} files,"
                f" about {estimate['likelyCredits']} credits"
            )
        items = [{"projectId": each["projectId"], "sourceId": each["id"]} for each in sources]
        key = f"demo-{uuid.uuid4().hex}"
        first, again = (
            client.post_raw("/v1/builds/batch", {"items": items}, key=key) for _ in range(2)
        )
        answer = first.json()
        check(again.content == first.content, "the same batch was answered differently")
        check(answer["createdCount"] == len(items), f"{answer['createdCount']} builds were made")
        held = answer["estimatedCredits"]
        check(held == expected, f"{held} credits are held, {expected} were estimated")
        for item in items:
            made = list(client.items("/v1/builds", projectId=item["projectId"]))
            check(len(made) == 1, f"one batch made {len(made)} builds of {item['projectId']}")
        self.teller.note(f"accepted together, {held} credits held, as estimated")
        self.teller.note("sent again with the same Idempotency-Key: the same answer, five builds")
        return [item["build"] for item in answer["items"]]

    def _cancel(self, site: Site, build: dict[str, Any]) -> dict[str, Any]:
        """Follow a build until its builder speaks, cancel it, and follow it to its end."""
        self.teller.title(f"{site.name}: cancelled while it is building")
        is_asked = False
        for line in self.teller.client.follow(build["streamUrl"], BUILD_TIMEOUT_S):
            is_ours = line["stream"] == "system"
            if is_ours or not is_asked:
                self.teller.note(f"| {line['text']}")
            if not is_asked and not is_ours:
                self._ask_to_cancel(build["id"])
                is_asked = True
        check(is_asked, f"{site.name} has ended before its builder said anything")
        ended = self.teller.end_of(site, build["id"])
        events = list(self.teller.client.events(build["id"]))
        last = [(event["name"], event["state"]) for event in events[-2:]]
        check(last == CANCELLED, f"the events of {site.name} end with {last}")
        check("build.started" in {event["name"] for event in events}, "it has never started")
        self._check_released(ended)
        return ended

    def _ask_to_cancel(self, build_id: str) -> None:
        client = self.teller.client
        seen = client.get(f"/v1/builds/{build_id}")
        check(seen["state"] == "building", f"{build_id} is {seen['state']}, too late to cancel it")
        answer = client.post_raw(f"/v1/builds/{build_id}/cancel")
        told = answer.json()
        asked = (answer.status_code, told["state"], told["isCancelRequested"])
        check(asked == (202, "building", True), f"the cancel was answered with {asked}")
        self.teller.note("seen in state building; asked to stop: 202")

    def _check_released(self, build: dict[str, Any]) -> None:
        """Look for the hold's end among the entries. Raises: DemoFailed."""
        entries = self.teller.client.items("/v1/credits/entries")
        entry = resolved_by(entries, build["reservationId"])
        freed = -entry["reservedDelta"]
        is_whole = entry["kind"] == "release" and freed == build["estimatedCredits"]
        check(is_whole, f"the hold of {build['id']} ended with {entry}")
        self.teller.note(
            f"{build['state']}: {freed} credits released by entry {entry['seq']}, 0 charged"
        )

    def _await(self, site: Site, build: dict[str, Any]) -> dict[str, Any]:
        """Wait for a build's end, and visit what it published or show why it did not."""
        note = self.teller.note
        lines = list(self.teller.client.follow(build["streamUrl"], BUILD_TIMEOUT_S))
        ended = self.teller.end_of(site, build["id"])
        if ended["state"] == "failed":
            for line in lines:
                note(f"| {line['text']}")
            note(f"{site.name}: failed, {ended['error']['code']}")
            self._check_released(ended)
            return ended
        self.teller.visit(site, ended["siteUrl"], ended["versionUrl"])
        note(f"{site.name}: deployed at {ended['siteUrl']}")
        count, charged = ended["artifact"]["fileCount"], ended["chargedCredits"]
        note(f"  {count} files, {charged} of {ended['estimatedCredits']} credits charged")
        return ended
