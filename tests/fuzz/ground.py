"""Real API processes over a database with something in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from flagship.management.embedded.home import free_port
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES
from jobs.ids import public_id
from tests.clients import ApiCaller, make_client
from tests.factories import make_hold, make_project, make_source
from tests.integration.builds.rows import make_build_in
from tests.processes import Processes, Running, wait_until
from tests.races.apis import answers

CREDITS = 10_000_000
KEY = "a-key-that-has-made-a-job"
LIMITS = ("IP", "ORGANIZATION", "KEY", "USER", "SITE")
FREE = {"JOBS_IN_FLIGHT_MAX": "1000000", "STREAMS_PER_KEY": "10000"}
FREE |= {f"RATE_LIMIT_{name}": "9000000/60" for name in LIMITS}
"""Limits that would answer most of the nonsense in the place of what it is for: counted as ever."""


@dataclass(slots=True)
class Ground:
    """Where the nonsense goes: a key with every scope, ids that exist, a port for each server."""

    secret: str
    ids: dict[str, list[str]]
    ports: dict[str, int] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def base_url(self, interface: str = "wsgi") -> str:
        """Return the address of a server."""
        return f"http://127.0.0.1:{self.ports[interface]}"

    def is_alive(self) -> bool:
        """Tell whether every server still answers and none was started anew."""
        ended = [each for each in self.running if each.popen.poll() is not None]
        return not ended and all(answers(port) for port in self.ports.values())


def make_ground(processes: Processes, *, interfaces: tuple[str, ...], **env: str) -> Ground:
    """Fill the database and start one server of each interface: `wsgi`, `asginl`."""
    caller = make_client(scopes=(*SCOPES, *OPERATOR_SCOPES), credit=CREDITS)
    ground = Ground(secret=caller.secret, ids=_fill(caller))
    for interface in interfaces:
        port = ground.ports[interface] = free_port()
        command = [sys.executable, "-m", "granian", "--interface", interface, "--http", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
        command += ["--blocking-threads", "4"] if interface == "wsgi" else []
        module = "config.wsgi" if interface == "wsgi" else "config.asgi"
        ground.running.append(processes.spawn([*command, f"{module}:application"], env=FREE | env))
    for running, port in zip(ground.running, ground.ports.values(), strict=True):
        wait_until(lambda port=port: answers(port), 60, running.output)  # type: ignore[misc]
    return ground


def _fill(caller: ApiCaller) -> dict[str, list[str]]:
    """Make what requests can be about; return their ids by the name of a path's variable."""
    organization_id: Any = caller.organization.id
    projects = [make_project(organization_id, max_active=10) for _ in range(3)]
    sources = [make_source(project) for project in projects]
    builds = [make_build_in(state, organization_id) for state in ("building", "deployed", "failed")]
    jobs = [
        caller.post("/v1/jobs", {"kind": "jobs.probe", "payload": {}}, key=key).json()["id"]
        for key in (None, None, KEY)
    ]
    holds = [make_hold(organization_id, 5).reservation_id for _ in range(3)]
    return {
        "project_id": [public_id("proj", project.id) for project in projects],
        "source_id": [public_id("src", source.id) for source in sources],
        "build_id": [public_id("build", build.id) for build in builds],
        "reservation_id": [public_id("res", hold) for hold in holds],
        "job_id": jobs,
        "queue": ["flagship:maintenance", "flagship:content"],
        "code": ["NOT_FOUND"],
        "key": [KEY],
    }
