"""Jobs as a client sees them: created, followed, stopped, held, over HTTP with a real worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.models import Job
from jobs.queues import MAINTENANCE
from tests.asserts import assert_refused, wait_until
from tests.clients import ApiCaller
from tests.processes import Processes, Running

FINISHED = ("succeeded", "dead", "cancelled")


@pytest.fixture
def worker(live_db: None, processes: Processes) -> Running:
    """A real `manage.py rqworker`."""
    return processes.start("rqworker")


def create(api: ApiCaller, **payload: Any) -> dict[str, Any]:
    response = api.post("/api/jobs", {"kind": "jobs.probe", "payload": payload})
    assert response.status_code == 202, response.json()
    return dict(response.json())


class Followed:
    """A job that is polled as its client would, with the ETag of the answer before."""

    def __init__(self, api: ApiCaller, worker: Running, job: dict[str, Any]) -> None:
        self.path = f"/api/jobs/{job['id']}"
        self.now = job
        self.unchanged = 0
        self._api, self._worker, self._tag = api, worker, ""

    def until(self, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll until the job is where it should be; return it."""

        def look() -> bool:
            response = self._api.get(self.path, headers={"If-None-Match": self._tag})
            if response.status_code == 304:
                self.unchanged += 1
            else:
                self.now, self._tag = response.json(), response.headers["ETag"]
            return is_there(self.now)

        wait_until(look, 60, lambda: f"{self.now}\n{self._worker.output()[-2000:]}")
        return self.now

    def until_end(self) -> dict[str, Any]:
        """Poll until it has ended."""
        return self.until(lambda job: job["state"] in FINISHED)


def test_jobs__with_a_worker__are_followed_to_their_ends(worker: Running, api: ApiCaller) -> None:
    # W-15, W-05
    good = Followed(api, worker, create(api, sleep_s=1.0, steps=10, note="walk"))
    bad = Followed(api, worker, create(api, action="fail", note="as told"))

    reported = good.until(lambda job: bool(job["progress"]))
    assert (reported["state"], reported["progress"]["steps"]) == ("running", 10)
    done, dead = good.until_end(), bad.until_end()

    assert (done["state"], done["result"]) == ("succeeded", {"attempt": 1, "note": "walk"})
    assert [(run["outcome"], run["number"]) for run in done["runs"]] == [("succeeded", 1)]
    assert done["runs"][0]["durationMs"] >= 1000
    assert done["runs"][0]["worker"]
    assert good.unchanged > 0
    assert (dead["state"], dead["failures"], dead["maxAttempts"]) == ("dead", 1, 1)
    assert (dead["runs"][0]["errorClass"], dead["runs"][0]["message"]) == (
        "RuntimeError",
        "as told",
    )
    listed = api.get("/api/jobs?state=dead,succeeded").json()["items"]
    assert [item["id"] for item in listed] == [dead["id"], done["id"]]
    assert_refused(api.delete(good.path), 409, "JOB_ALREADY_FINISHED")


def test_cancel__of_a_running_job__really_stops_it(worker: Running, api: ApiCaller) -> None:
    # W-15
    job = Followed(api, worker, create(api, sleep_s=600.0, steps=100))
    job.until(lambda told: told["state"] == "running")

    asked = api.delete(job.path)
    ended = job.until_end()

    assert (asked.status_code, asked.json()["state"]) == (202, "running")
    assert (ended["state"], ended["result"]) == ("cancelled", None)
    assert [run["outcome"] for run in ended["runs"]] == ["cancelled"]
    assert ended["runs"][0]["durationMs"] < 60_000  # of 600,000: it did not run to its end
    again = Followed(api, worker, create(api, note="the slot is free"))
    assert again.until_end()["state"] == "succeeded"


def test_pause__of_a_queue__holds_its_jobs_until_it_is_resumed(
    live_db: None, issue_key: Callable[..., ApiCaller], processes: Processes
) -> None:
    # W-17
    api = issue_key()
    operator = issue_key(scopes=("queues:read", "queues:manage"), organization=api.organization)
    pause, resume = f"/api/queues/{MAINTENANCE}/pause", f"/api/queues/{MAINTENANCE}/resume"
    assert operator.post(pause, {"reason": "walk"}).status_code == 200
    held, dropped = create(api, note="held"), create(api, note="dropped")

    # It takes whatever it may, from its very first look on, and leaves when there is no more.
    burst = processes.start("rqworker", "--burst")
    assert burst.wait(60) == 0, burst.output()

    assert set(Job.objects.values_list("state", "attempts")) == {("queued", 0)}
    shown = {item["queue"]: item for item in api.get("/api/queues").json()["items"]}
    assert (shown[MAINTENANCE]["waiting"], shown[MAINTENANCE]["isPaused"]) == (2, True)
    assert api.delete(f"/api/jobs/{dropped['id']}").json()["state"] == "cancelled"

    worker = processes.start("rqworker")
    worker.wait_for("*** Listening on")
    assert operator.post(resume).status_code == 200
    assert Followed(api, worker, held).until_end()["state"] == "succeeded"
    assert Job.objects.get(payload__note="dropped").attempts == 0
