"""A request that succeeds, for every method and route that may change something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from builds.models import Project
from builds.services.moves import fail_build
from credits.services import reserve_credits
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES
from jobs.ids import public_id
from jobs.selectors.dead_letters import letter_id
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_project, make_source
from tests.integration.builds.archives import INDEX, tar_gz
from tests.integration.console.rows import make_letter


@dataclass(frozen=True, slots=True)
class Call:
    """What to send; the same again has to be answered from the first answer."""

    path: str
    body: Any = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class World:
    """An organization with a project, and a caller that may do everything."""

    api: ApiCaller
    project: Project

    @property
    def project_id(self) -> str:
        return public_id("proj", self.project.id)

    def order(self) -> dict[str, str]:
        source = make_source(self.project)
        return {"projectId": self.project_id, "sourceId": public_id("src", source.id)}

    def build_path(self, end: str, *, failed: bool = False) -> str:
        build = make_build(self.project)
        if failed:
            fail_build(build_id=build.id, code="X", message="x")
        return f"/v1/builds/{public_id('build', build.id)}/{end}"

    def hold(self) -> str:
        held = reserve_credits(
            organization_id=self.api.organization.id,
            amount_credits=10,
            subject_type="build",
            subject_id="build_1",
            actor="test",
        )
        return public_id("res", held.reservation_id)


def make_world() -> World:
    """Return a world of its own; needs db."""
    api = make_client(scopes=(*SCOPES, *OPERATOR_SCOPES))
    return World(api, make_project(api.organization.id))


PROBE = {"kind": "jobs.probe", "payload": {}}
QUEUE = "/v1/queues/flagship:content"


def job_to_cancel(world: World) -> Call:
    return Call(f"/v1/jobs/{world.api.post('/v1/jobs', PROBE).json()['id']}")


def paused_queue(world: World) -> Call:
    assert world.api.post(f"{QUEUE}/pause", {"reason": "for a test"}).status_code == 200
    return Call(f"{QUEUE}/resume")


def letter(world: World, answer: str, body: Any = None) -> Call:
    made = make_letter(organization_id=world.api.organization.id, payload={"action": "succeed"})
    return Call(f"/v1/dead-letters/{letter_id(made)}/{answer}", body)


CASES: dict[tuple[str, str], Callable[[World], Call]] = {
    ("POST", "v1/projects"): lambda w: Call("/v1/projects", {"name": "Another"}),
    ("PUT", "v1/projects/<str:project_id>"): lambda w: Call(
        f"/v1/projects/{w.project_id}", {"name": "Renamed"}
    ),
    ("PATCH", "v1/projects/<str:project_id>"): lambda w: Call(
        f"/v1/projects/{w.project_id}", {"name": "Renamed"}
    ),
    ("POST", "v1/projects/<str:project_id>/sources"): lambda w: Call(
        f"/v1/projects/{w.project_id}/sources", tar_gz({"index.html": INDEX}), "application/gzip"
    ),
    ("POST", "v1/projects/<str:project_id>/fetches"): lambda w: Call(
        f"/v1/projects/{w.project_id}/fetches", {"url": "https://git.example.org/site"}
    ),
    ("POST", "v1/builds"): lambda w: Call("/v1/builds", w.order()),
    ("POST", "v1/builds/batch"): lambda w: Call("/v1/builds/batch", {"items": [w.order()]}),
    ("POST", "v1/builds/<str:build_id>/cancel"): lambda w: Call(w.build_path("cancel")),
    ("POST", "v1/builds/<str:build_id>/rebuild"): lambda w: Call(
        w.build_path("rebuild", failed=True)
    ),
    ("POST", "v1/builds/<str:build_id>/replay"): lambda w: Call(w.build_path("replay"), {}),
    ("POST", "v1/estimate"): lambda w: Call("/v1/estimate", w.order()),
    ("POST", "v1/credits/reserve"): lambda w: Call(
        "/v1/credits/reserve", {"buildId": "build_1", "estimatedCredits": 5, "userId": "u"}
    ),
    ("POST", "v1/credits/commit"): lambda w: Call(
        "/v1/credits/commit", {"reservationId": w.hold(), "actualCredits": 7}
    ),
    ("POST", "v1/credits/release"): lambda w: Call(
        "/v1/credits/release", {"reservationId": w.hold(), "reason": "build_failed"}
    ),
    ("POST", "v1/jobs"): lambda w: Call("/v1/jobs", PROBE),
    ("DELETE", "v1/jobs/<str:job_id>"): job_to_cancel,
    ("POST", "v1/dead-letters/<str:letter_id>/requeue"): lambda w: letter(w, "requeue"),
    ("POST", "v1/dead-letters/<str:letter_id>/discard"): lambda w: letter(
        w, "discard", {"reason": "test"}
    ),
    ("POST", "v1/dead-letters/cleanup"): lambda w: Call(
        "/v1/dead-letters/cleanup", {"reason": "test"}
    ),
    ("POST", "v1/queues/<str:queue>/pause"): lambda w: Call(f"{QUEUE}/pause", {"reason": "test"}),
    ("POST", "v1/queues/<str:queue>/resume"): paused_queue,
}
