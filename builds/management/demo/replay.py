"""A replay of a build: a dry run that says what would be done, then that and nothing else."""

from __future__ import annotations

from typing import Any, Final

from builds.management.demo.failed import check, wait_for
from builds.management.demo.teller import Teller

TELEMETRY_TIMEOUT_S: Final = 30.0


def tell_replay(teller: Teller, build: dict[str, Any]) -> dict[str, Any]:
    """Replay a deployed build from its first event on; return the answer of the real one.

    Raises: DemoFailed where anything is charged, done twice, or done without a dry run.
    """
    client, path = teller.client, f"/v1/builds/{build['id']}/replay"
    teller.title("A replay of a deployed build: dry run, then for real")
    before = _entries_of(teller, build)
    plan = client.post(path, {"fromSeq": 1})
    check(plan["isDryRun"] and plan["doneCount"] > 0, f"the dry run says {plan}")
    check(_outcomes(plan) <= {"planned", "skipped"}, "the dry run has done something")
    for item in plan["items"]:
        steps = ", ".join(f"{step['effect']} {step['outcome']}" for step in item["steps"])
        teller.note(f"{item['event']['seq']}. {item['event']['name']:<15} {steps}")

    wanted = {"fromSeq": 1, "dryRun": False}
    client.refused(path, wanted, code="REPLAY_DRY_RUN_REQUIRED")
    wanted["planDigest"] = plan["planDigest"]
    done: dict[str, Any] = client.post(path, wanted)
    check(not done["isDryRun"] and done["chargedCredits"] == 0, f"the replay says {done}")
    check(_steps(done) == _steps(plan, planned="done"), "something else was done than planned")
    teller.note(f"for real, by the plan's digest: {done['doneCount']} done, 0 credits charged")
    client.refused(path, wanted, code="REPLAY_PLAN_CHANGED")
    teller.note("the same plan once more: refused with REPLAY_PLAN_CHANGED")

    _check_announced(teller, build["id"])
    check(_entries_of(teller, build) == before, "the replay has moved credits")
    again = client.get(f"/v1/builds/{build['id']}")
    check(again == build, "the replay has changed the build")
    last = list(client.events(build["id"]))[-1]["name"]
    check(last == "build.replayed", f"the last event of the build is {last}")
    teller.note("its watchers heard of it again; build and credits are as they were")
    return done


def _entries_of(teller: Teller, build: dict[str, Any]) -> list[dict[str, Any]]:
    entries = teller.client.items("/v1/credits/entries")
    return [entry for entry in entries if entry["reservationId"] == build["reservationId"]]


def _check_announced(teller: Teller, build_id: str) -> None:
    """Wait until the deployment was announced again, marked as a replay. Raises: DemoFailed."""

    def look() -> dict[str, Any] | None:
        page = teller.client.get("/v1/telemetry", name="build.deployed", limit=100)
        told = [event["data"] for event in page["items"]]
        again = (data for data in told if data.get("isReplay") and data.get("buildId") == build_id)
        return next(again, None)

    wait_for("the announcement of the replay", look, TELEMETRY_TIMEOUT_S)


def _steps(replay: dict[str, Any], *, planned: str = "planned") -> list[tuple[int, str, str]]:
    """Return (number of the event, effect, outcome) of every step."""
    return [
        (
            item["event"]["seq"],
            step["effect"],
            planned if step["outcome"] == "planned" else step["outcome"],
        )
        for item in replay["items"]
        for step in item["steps"]
    ]


def _outcomes(replay: dict[str, Any]) -> set[str]:
    return {outcome for _, _, outcome in _steps(replay)}
