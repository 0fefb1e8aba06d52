"""A whole running system for the fault tests: api, worker and scheduler as real processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from flagship.management.embedded.home import free_port
from tests.clients import ApiCaller, make_client
from tests.processes import Processes, Running, wait_until

SITES = Path(__file__).resolve().parent.parent / "builds" / "fixtures" / "sites"
FINAL = ("deployed", "failed", "cancelled")
# Short leases, so that a killed worker's work is taken over within the test.
FAST = {
    "JOB_LEASE_S": "2",
    "JOB_LEASE_RENEWAL_S": "0.5",
    "SWEEP_INTERVAL_S": "0.2",
    "WORKER_SLOTS": "8",
}


@dataclass(slots=True)
class System:
    """Processes, one organization's client, and what was accepted."""

    processes: Processes
    caller: ApiCaller
    owner_url: str
    port: int = field(default_factory=free_port)
    api: Running | None = None
    accepted: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.port}"

    def start_api(self) -> Running:
        """Start the API on the system's port and wait until it answers."""
        command = [str(Path(sys.executable).with_name("granian")), "--interface", "wsgi"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--blocking-threads", "4", "config.wsgi:application"]
        self.api = self.processes.spawn(command, env=FAST)
        api = self.api
        wait_until(self.is_up, 30, lambda: api.output()[-2000:])
        return api

    def start_worker(self, **env: str) -> Running:
        """Start a worker and wait until it listens."""
        worker = self.processes.start("rqworker", env={**FAST, **env})
        worker.wait_for("*** Listening on")
        return worker

    def start_scheduler(self) -> Running:
        """Start the scheduler with its sweeper."""
        return self.processes.start("rqscheduler", env=FAST)

    def is_up(self) -> bool:
        """Say whether the API answers."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == 200
        return False

    def request(self, method: str, path: str, *, key: str = "", **options: Any) -> httpx.Response:
        """Send one request with the organization's key."""
        headers = {"Authorization": f"Bearer {self.caller.secret}", **options.pop("headers", {})}
        if method != "GET":
            headers["Idempotency-Key"] = key or f"key-{uuid.uuid4().hex}"
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=10, **options)

    def make_project(self, site: str = "mdn-beginner-site.tar.gz") -> tuple[str, str]:
        """Create a project and upload a real site; return both ids."""
        name = f"site-{uuid.uuid4().hex[:8]}"
        project = self.request("POST", "/v1/projects", json={"name": name, "slug": name})
        assert project.status_code == 201, project.text
        project_id = project.json()["id"]
        source = self.request(
            "POST",
            f"/v1/projects/{project_id}/sources",
            content=(SITES / site).read_bytes(),
            headers={"Content-Type": "application/gzip"},
        )
        assert source.status_code == 201, source.text
        return project_id, source.json()["id"]

    def submit(self, project_id: str, source_id: str, builder: str, *, key: str = "") -> str:
        """Submit a build; return its id, remembered as accepted."""
        key = key or f"key-{uuid.uuid4().hex}"
        body = {"projectId": project_id, "sourceId": source_id, "builder": builder}
        answer = self.request("POST", "/v1/builds", json=body, key=key)
        assert answer.status_code in (201, 202), answer.text
        build_id = str(answer.json()["id"])
        self.accepted[build_id] = key
        return build_id

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read from the database as its owner."""
        with psycopg.connect(self.owner_url, connect_timeout=2) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def states(self) -> dict[str, int]:
        """Count the builds by state."""
        return {
            state: count
            for state, count in self.sql("SELECT state, count(*) FROM builds_build GROUP BY state")
        }

    def wait_for_the_end(self, timeout_s: float = 60.0) -> None:
        """Wait until every build is final and every job of a build has ended."""

        def ended() -> bool:
            with suppress(psycopg.OperationalError):
                waiting = self.sql(
                    "SELECT 1 FROM builds_build WHERE state <> ALL(%s) UNION ALL SELECT 1 FROM"
                    " jobs_job WHERE kind = 'builds.run_build' AND state <> ALL(%s)",
                    list(FINAL),
                    ["succeeded", "dead", "cancelled"],
                )
                return not waiting
            return False

        wait_until(ended, timeout_s, lambda: f"{self.states()}")


class Load(threading.Thread):
    """Submits builds of fresh projects one after another; remembers only acknowledged ones."""

    def __init__(self, system: System, targets: list[tuple[str, str]]) -> None:
        super().__init__(daemon=True)
        self.system = system
        self.targets = targets
        self.stopping = threading.Event()
        self.refused = 0

    def run(self) -> None:
        """Go on until stopped; a request that got no answer is sent again with its key."""
        for project_id, source_id in self.targets:
            key = f"load-{uuid.uuid4().hex}"
            while not self.stopping.is_set():
                try:
                    self.system.submit(project_id, source_id, "static", key=key)
                    break
                except (httpx.HTTPError, AssertionError):
                    self.refused += 1
                    time.sleep(0.1)


def make_system(processes: Processes, owner_url: str, credit: int = 10_000) -> System:
    """Make the organization; processes are started by the test."""
    return System(processes, make_client(credit=credit), owner_url)


def kill_group(process: Running) -> None:
    """SIGKILL a process and its children, as a machine's end would."""
    process.kill_group(signal.SIGKILL)
    process.wait()


def database_environment() -> str:
    """The address the processes under test use."""
    return os.environ["DATABASE_URL"]
