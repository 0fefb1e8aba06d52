"""How each operation is asked: one case for each operation of the OpenAPI schema.

A case is called before its requests are sent, once for each; what it makes is not measured.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
import uuid
from collections.abc import Callable
from typing import Any, Final

from bench.api.ground import (
    ACTOR,
    CLIENTS,
    HELD,
    Ground,
    Tenant,
    new_build,
    new_ended_build,
    new_hold,
    new_job,
    new_letter,
    new_project,
    since,
)
from bench.api.requests import Ask

Case = Callable[[Ground, int], Ask]

CASES: Final[dict[str, Case]] = {}
STREAMS: Final = (
    "GET /v1/telemetry/stream",
    "GET /api/telemetry/stream",
    "GET /v1/streams/builds/{build_id}/log",
)
OLD_NOUNS: Final = ("jobs", "queues", "telemetry", "worker")
BATCH: Final = 5
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def operations() -> set[str]:
    """Return what the schema offers, as `METHOD /path`."""
    from flagship.api.documents import schema_json

    paths = json.loads(schema_json())["paths"]
    return {
        f"{method.upper()} {path}"
        for path, found in paths.items()
        for method in found
        if method.upper() in METHODS
    }


def unlike_schema() -> dict[str, list[str]]:
    """Return the operations that no case measures, and the cases of no operation."""
    offered = operations()
    return {"missing": sorted(offered - CASES.keys()), "stale": sorted(CASES.keys() - offered)}


def case(operation: str) -> Callable[[Case], Case]:
    """Let a function make the requests of an operation."""

    def register(made: Case) -> Case:
        CASES[operation] = made
        return made

    return register


def _asked(operation: str, path: Callable[[Ground, Tenant, int], str]) -> None:
    """Register a question about a tenant that changes nothing."""
    CASES[operation] = lambda ground, number: Ask("GET", path(ground, ground.of(number), number))


def _sent(method: str, path: str, body: Any = None, right: int = 200) -> Ask:
    return Ask(method, path, b"" if body is None else json.dumps(body).encode(), right=(right,))


def _turned(ground: Ground, among: list[Any]) -> Any:
    return ground.at_random.choice(among)


# --- Questions ----------------------------------------------------------------------------------

_asked("GET /v1/jobs", lambda ground, tenant, n: "/v1/jobs?limit=50")
_asked("GET /v1/jobs/{job_id}", lambda g, tenant, n: f"/v1/jobs/job_{_turned(g, tenant.jobs).hex}")
_asked("GET /v1/jobs/kinds", lambda ground, tenant, n: "/v1/jobs/kinds")
_asked("GET /v1/dead-letters", lambda ground, tenant, n: "/v1/dead-letters?state=all")
_asked("GET /v1/dead-letters/summary", lambda ground, tenant, n: "/v1/dead-letters/summary")
_asked("GET /v1/queues", lambda ground, tenant, n: "/v1/queues")
_asked("GET /v1/telemetry", lambda ground, tenant, n: "/v1/telemetry?limit=50")
_asked("GET /v1/telemetry/stream", lambda ground, tenant, n: "/v1/telemetry/stream?after=0")
_asked("GET /v1/worker/health", lambda ground, tenant, n: "/v1/worker/health")
for _noun in ("builds", "segments", "usage"):
    _asked(
        f"GET /v1/analytics/{_noun}",
        lambda g, tenant, n, noun=_noun: f"/v1/analytics/{noun}?interval=day&since={since(50)}",  # type: ignore[misc]
    )
_asked("GET /v1/audit-events", lambda ground, tenant, n: "/v1/audit-events?limit=50")
_asked("GET /v1/builds", lambda ground, tenant, n: "/v1/builds?limit=50")
_asked(
    "GET /v1/builds/{build_id}",
    lambda ground, tenant, n: f"/v1/builds/build_{_turned(ground, tenant.builds).hex}",
)
for _part in ("events", "log"):
    _asked(
        f"GET /v1/builds/{{build_id}}/{_part}",
        lambda g, tenant, n, part=_part: f"/v1/builds/build_{tenant.shown.hex}/{part}",  # type: ignore[misc]
    )
_asked("GET /v1/credits/account", lambda ground, tenant, n: "/v1/credits/account")
_asked("GET /v1/credits/entries", lambda ground, tenant, n: "/v1/credits/entries?limit=50")
for _form in ("csv", "jsonl"):
    _asked(
        f"GET /v1/credits/statement.{_form}",
        lambda g, tenant, n, form=_form: f"/v1/credits/statement.{form}",  # type: ignore[misc]
    )
_asked("GET /v1/errors", lambda ground, tenant, n: "/v1/errors")
_asked("GET /v1/errors/{code}", lambda ground, tenant, n: "/v1/errors/NOT_FOUND")
CASES["GET /v1/idempotency/{key}"] = lambda ground, number: Ask(
    "GET", f"/v1/idempotency/a-key-that-was-never-sent-{number}", right=(404,)
)
_asked("GET /v1/projects", lambda ground, tenant, n: "/v1/projects?limit=50")
_asked(
    "GET /v1/projects/{project_id}",
    lambda ground, tenant, n: f"/v1/projects/proj_{_turned(ground, tenant.projects).hex}",
)
_asked(
    "GET /v1/projects/{project_id}/fetches",
    lambda ground, tenant, n: f"/v1/projects/proj_{tenant.fetches[0][0].hex}/fetches",
)
_asked(
    "GET /v1/projects/{project_id}/fetches/{fetch_id}",
    lambda ground, tenant, n: _fetch(*_turned(ground, tenant.fetches)),
)
_asked(
    "GET /v1/projects/batch",
    lambda ground, tenant, n: (
        "/v1/projects/batch?ids=" + ",".join(f"proj_{each.hex}" for each in tenant.projects[:20])
    ),
)
_asked(
    "GET /v1/streams/builds/{build_id}/log",
    lambda ground, tenant, n: f"/v1/streams/builds/build_{tenant.shown.hex}/log",
)


def _fetch(project_id: uuid.UUID, fetch_id: uuid.UUID) -> str:
    return f"/v1/projects/proj_{project_id.hex}/fetches/fetch_{fetch_id.hex}"


# --- Builds -------------------------------------------------------------------------------------


@case("POST /v1/builds")
def _build(ground: Ground, number: int) -> Ask:
    project_id, source_id = new_project(ground.of(number))
    return _sent("POST", "/v1/builds", _order(project_id, source_id), 202)


@case("POST /v1/builds/batch")
def _build_batch(ground: Ground, number: int) -> Ask:
    project_id, source_id = new_project(ground.of(number), max_active=BATCH)
    items = [_order(project_id, source_id) for _ in range(BATCH)]
    return _sent("POST", "/v1/builds/batch", {"items": items}, 202)


@case("POST /v1/builds/{build_id}/cancel")
def _cancel(ground: Ground, number: int) -> Ask:
    return _sent("POST", f"/v1/builds/build_{new_build(ground.of(number)).hex}/cancel")


@case("POST /v1/builds/{build_id}/rebuild")
def _rebuild(ground: Ground, number: int) -> Ask:
    ended = new_ended_build(ground.of(number))
    return _sent("POST", f"/v1/builds/build_{ended.hex}/rebuild", right=202)


@case("POST /v1/builds/{build_id}/replay")
def _replay(ground: Ground, number: int) -> Ask:
    path = f"/v1/builds/build_{ground.of(number).shown.hex}/replay"
    return _sent("POST", path, {"dryRun": True})


@case("POST /v1/estimate")
def _estimate(ground: Ground, number: int) -> Ask:
    project_id = _turned(ground, ground.of(number).projects)
    question = {"projectId": f"proj_{project_id.hex}", "unpackedBytes": 5000}
    return _sent("POST", "/v1/estimate", question)


@case("POST /v1/projects")
def _project(ground: Ground, number: int) -> Ask:
    return _sent("POST", "/v1/projects", {"name": f"Site {uuid.uuid4().hex[:12]}"}, 201)


@case("PUT /v1/projects/{project_id}")
def _put_project(ground: Ground, number: int) -> Ask:
    project_id = _turned(ground, ground.of(number).projects)
    body = {"name": f"Site {number}", "maxActive": 1}
    return _sent("PUT", f"/v1/projects/proj_{project_id.hex}", body)


@case("PATCH /v1/projects/{project_id}")
def _patch_project(ground: Ground, number: int) -> Ask:
    project_id = _turned(ground, ground.of(number).projects)
    return _sent("PATCH", f"/v1/projects/proj_{project_id.hex}", {"name": f"Site {number}"})


@case("POST /v1/projects/{project_id}/fetches")
def _start_fetch(ground: Ground, number: int) -> Ask:
    project_id, _ = new_project(ground.of(number))
    body = {"url": "https://git.example.com/site.git"}
    return _sent("POST", f"/v1/projects/proj_{project_id.hex}/fetches", body, 202)


@case("POST /v1/projects/{project_id}/sources")
def _source(ground: Ground, number: int) -> Ask:
    project_id = _turned(ground, ground.of(number).projects)
    path = f"/v1/projects/proj_{project_id.hex}/sources"
    return Ask("POST", path, _archive(), "application/gzip", right=(201,))


def _order(project_id: uuid.UUID, source_id: uuid.UUID) -> dict[str, str]:
    return {"projectId": f"proj_{project_id.hex}", "sourceId": f"src_{source_id.hex}"}


def _archive() -> bytes:
    """Return a small site that nobody has uploaded yet."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("index.html", "style.css", "about/index.html"):
            text = os.urandom(1000).hex().encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


# --- Credits ------------------------------------------------------------------------------------


@case("POST /v1/credits/reserve")
def _reserve(ground: Ground, number: int) -> Ask:
    body = {"buildId": "build_bench", "estimatedCredits": HELD, "userId": "user_bench"}
    return _sent("POST", "/v1/credits/reserve", body, 201)


@case("POST /v1/credits/commit")
def _commit(ground: Ground, number: int) -> Ask:
    hold = new_hold(ground.of(number))
    body = {"reservationId": f"res_{hold.hex}", "actualCredits": HELD - 1}
    return _sent("POST", "/v1/credits/commit", body)


@case("POST /v1/credits/release")
def _release(ground: Ground, number: int) -> Ask:
    hold = new_hold(ground.of(number))
    body = {"reservationId": f"res_{hold.hex}", "reason": "bench"}
    return _sent("POST", "/v1/credits/release", body)


# --- Jobs and queues ----------------------------------------------------------------------------


@case("POST /v1/jobs")
def _job(ground: Ground, number: int) -> Ask:
    asked = _sent("POST", "/v1/jobs", {"kind": "jobs.probe", "payload": {}}, 202)
    # An organization may have so many at a time, and none of them runs here.
    return Ask(asked.method, asked.path, asked.body, right=asked.right, undo=_cancelled)


def _cancelled(answered: bytes, name: str = "id") -> Ask:
    return Ask("DELETE", f"/v1/jobs/{json.loads(answered)[name]}")


@case("DELETE /v1/jobs/{job_id}")
def _cancel_job(ground: Ground, number: int) -> Ask:
    return Ask("DELETE", f"/v1/jobs/job_{new_job(ground.of(number)).hex}")


@case("POST /v1/dead-letters/{letter_id}/requeue")
def _requeue(ground: Ground, number: int) -> Ask:
    path = f"/v1/dead-letters/{new_letter(ground.of(number))}/requeue"
    return Ask("POST", path, undo=lambda answered: _cancelled(answered, "jobId"))


@case("POST /v1/dead-letters/{letter_id}/discard")
def _discard(ground: Ground, number: int) -> Ask:
    path = f"/v1/dead-letters/{new_letter(ground.of(number))}/discard"
    return _sent("POST", path, {"reason": "bench"})


@case("POST /v1/dead-letters/cleanup")
def _clean_up(ground: Ground, number: int) -> Ask:
    return _sent("POST", "/v1/dead-letters/cleanup", {"reason": "bench", "olderThanDays": 30})


@case("POST /v1/queues/{queue}/pause")
def _pause(ground: Ground, number: int) -> Ask:
    queue = _queue(number)
    _stand(queue, is_paused=False)
    pause = _sent("POST", f"/v1/queues/{queue}/pause", {"reason": "bench"})
    resume = _sent("POST", f"/v1/queues/{queue}/resume")
    return Ask(pause.method, pause.path, pause.body, undo=lambda answered: resume)


@case("POST /v1/queues/{queue}/resume")
def _resume(ground: Ground, number: int) -> Ask:
    queue = _queue(number)
    _stand(queue, is_paused=True)
    pause = _sent("POST", f"/v1/queues/{queue}/pause", {"reason": "bench"})
    return Ask("POST", f"/v1/queues/{queue}/resume", undo=lambda answered: pause)


def _queue(number: int) -> str:
    """Return the queue that a client has to itself."""
    from jobs.queues import QUEUES

    return list(QUEUES)[number % CLIENTS]


def _stand(queue: str, *, is_paused: bool) -> None:
    from jobs.selectors.pauses import pauses
    from jobs.services.pauses import pause_queue, resume_queue

    if (queue in pauses()) == is_paused:
        return
    if is_paused:
        pause_queue(queue=queue, actor=ACTOR, reason="bench")
    else:
        resume_queue(queue=queue, actor=ACTOR)


# --- Old paths ----------------------------------------------------------------------------------


def _at_old_path(made: Case) -> Case:
    """Return a case that asks the same at the path that a client of old knows."""

    def ask(ground: Ground, number: int) -> Ask:
        asked = made(ground, number)
        return dataclasses.replace(asked, path=asked.path.replace("/v1/", "/api/", 1))

    return ask


CASES.update(
    {
        name.replace("/v1/", "/api/", 1): _at_old_path(made)
        for name, made in CASES.items()
        if name.split("/")[2] in OLD_NOUNS
    }
)
