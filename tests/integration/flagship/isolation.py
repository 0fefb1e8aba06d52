"""The matrix of isolation: every operation of the schema, what it is asked with, and by whom."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from builds.models import BuildLogLine, Fetch, Project
from flagship.api.documents import schema_json
from flagship.models import ApiKey, Organization, SignatureTally, SignatureUse
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES
from flagship.services.idempotency import make_claim, store_answer
from flagship.services.signing_keys import issue_signing_key
from jobs.ids import new_id, public_id
from jobs.models import FailedJob, TelemetryEvent
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.clients import ApiCaller, make_client
from tests.factories import make_hold, make_project, make_source
from tests.integration.builds.archives import tar_gz
from tests.integration.builds.rows import make_build_in
from tests.integration.console.rows import make_letter

Operation = tuple[str, str]
Names = Mapping[str, str]

# What a key of an organization may do: look, work, and work for the platform.
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "reader": tuple(scope for scope in SCOPES if scope.endswith(":read")),
    "member": SCOPES,
    "operator": (*SCOPES, *OPERATOR_SCOPES),
}
PREFIXES: Final = {
    **{"project": "proj", "idle_project": "proj", "source": "src", "idle_source": "src"},
    **{"build": "build", "ended_build": "build", "fetch": "fetch", "job": "job", "hold": "res"},
    **{"letter": "dead", "key": "key", "client": "key", "signing_key": "sig"},
}
SITE: Final = tar_gz({"index.html": b"<h1>Home</h1>"})


@dataclass(frozen=True, slots=True)
class Case:
    """How an operation is asked. `{name}` stands for an id of the world, in path, query and body.

    `path` says which id is meant by a parameter of the path. `own` is the status for the caller's
    own ids, asked by a member, or by an operator.
    """

    body: Any = None
    query: str = ""
    path: dict[str, str] = field(default_factory=dict)
    own: int = 200
    media: str = "application/json"
    by: str = "member"


IDS: Final = {
    **{"project_id": "project", "build_id": "build", "fetch_id": "fetch", "job_id": "job"},
    "letter_id": "letter",
}
QUEUE: Final = {"queue": "flagship:maintenance"}
CODE: Final = {"code": "NOT_FOUND"}
NOT_IDS: Final = {*QUEUE.values(), *CODE.values()}
ORDER: Final = {"projectId": "{idle_project}", "sourceId": "{idle_source}"}
ENDED: Final = {"build_id": "ended_build"}
DAYS: Final = "since=2026-01-01&until=2026-02-01"

CASES: Final[dict[Operation, Case]] = {
    ("GET", "/v1/errors"): Case(),
    ("GET", "/v1/errors/{code}"): Case(path=CODE),
    ("GET", "/v1/idempotency/{key}"): Case(path={"key": "key"}),
    ("GET", "/v1/audit-events"): Case(query="subjectId={build}"),
    ("GET", "/v1/projects"): Case(),
    ("POST", "/v1/projects"): Case({"name": "New"}, own=201),
    ("GET", "/v1/projects/batch"): Case(query="ids={project},{idle_project}"),
    ("GET", "/v1/projects/{project_id}"): Case(),
    ("PUT", "/v1/projects/{project_id}"): Case({"name": "Renamed"}),
    ("PATCH", "/v1/projects/{project_id}"): Case({"maxActive": 3}),
    ("POST", "/v1/projects/{project_id}/sources"): Case(SITE, media="application/gzip", own=201),
    ("POST", "/v1/projects/{project_id}/fetches"): Case(
        {"url": "https://example.org/site.git"}, path={"project_id": "idle_project"}, own=202
    ),
    ("GET", "/v1/projects/{project_id}/fetches"): Case(),
    ("GET", "/v1/projects/{project_id}/fetches/{fetch_id}"): Case(),
    ("GET", "/v1/builds"): Case(query="projectId={project}"),
    ("POST", "/v1/builds"): Case(ORDER, own=202),
    ("POST", "/v1/builds/batch"): Case({"items": [ORDER]}, own=202),
    ("GET", "/v1/builds/{build_id}"): Case(),
    ("POST", "/v1/builds/{build_id}/cancel"): Case(),
    ("POST", "/v1/builds/{build_id}/rebuild"): Case(path=ENDED, own=202),
    ("GET", "/v1/builds/{build_id}/events"): Case(),
    ("POST", "/v1/builds/{build_id}/replay"): Case({"dryRun": True}, path=ENDED),
    ("GET", "/v1/builds/{build_id}/log"): Case(),
    ("GET", "/v1/streams/builds/{build_id}/log"): Case(own=421),
    ("POST", "/v1/estimate"): Case(ORDER),
    ("GET", "/v1/analytics/builds"): Case(query=DAYS),
    ("GET", "/v1/analytics/usage"): Case(query=DAYS),
    ("GET", "/v1/analytics/segments"): Case(query=DAYS, by="operator"),
    ("POST", "/v1/credits/reserve"): Case(
        {"buildId": "build_1", "estimatedCredits": 5, "userId": "u"}, own=201
    ),
    ("POST", "/v1/credits/commit"): Case({"reservationId": "{hold}", "actualCredits": 3}),
    ("POST", "/v1/credits/release"): Case(
        {"reservationId": "{hold}", "reason": "build_failed"},
    ),
    ("GET", "/v1/credits/account"): Case(),
    ("GET", "/v1/credits/entries"): Case(),
    ("GET", "/v1/credits/statement.csv"): Case(),
    ("GET", "/v1/credits/statement.jsonl"): Case(),
    ("POST", "/v1/jobs"): Case({"kind": "jobs.probe", "payload": {}, "dedupeKey": "k"}, own=202),
    ("GET", "/v1/jobs"): Case(),
    ("GET", "/v1/jobs/kinds"): Case(),
    ("GET", "/v1/jobs/{job_id}"): Case(),
    ("DELETE", "/v1/jobs/{job_id}"): Case(),
    ("GET", "/v1/dead-letters"): Case(query="kind=jobs.probe"),
    ("GET", "/v1/dead-letters/summary"): Case(),
    ("POST", "/v1/dead-letters/cleanup"): Case({"reason": "drill", "olderThanDays": 1}),
    ("POST", "/v1/dead-letters/{letter_id}/requeue"): Case(),
    ("POST", "/v1/dead-letters/{letter_id}/discard"): Case({"reason": "drill"}),
    ("GET", "/v1/queues"): Case(),
    ("POST", "/v1/queues/{queue}/pause"): Case({"reason": "drill"}, path=QUEUE, by="operator"),
    ("POST", "/v1/queues/{queue}/resume"): Case(path=QUEUE, own=409, by="operator"),
    ("GET", "/v1/telemetry"): Case(),
    ("GET", "/v1/telemetry/stream"): Case(own=421),
    ("GET", "/v1/worker/health"): Case(),
}
# What is old is the same by another name: asked alike, and refused alike.
OLD_NOUNS: Final = ("jobs", "queues", "telemetry", "worker")
CASES.update(
    {
        (method, path.replace("/v1/", "/api/", 1)): case
        for (method, path), case in CASES.items()
        if path.split("/")[2] in OLD_NOUNS
    }
)


def operations() -> list[Operation]:
    """Return every operation of the schema."""
    paths = json.loads(schema_json())["paths"]
    return sorted((method.upper(), path) for path, item in paths.items() for method in item)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with one of everything, and a key for each role."""

    organization_id: uuid.UUID
    names: dict[str, str]
    callers: dict[str, ApiCaller]
    # What an answer to anybody else may not hold.
    marks: frozenset[str]


def make_tenant() -> Tenant:
    """Make an organization with builds, credits, jobs, telemetry and audit events."""
    first = make_client(scopes=ROLES["member"])
    organization, organization_id = first.organization, first.organization.id
    callers = {
        role: make_client(scopes=scopes, organization=organization)
        for role, scopes in ROLES.items()
    }
    # A stamp of last use is no trace of what was asked.
    ApiKey.objects.update(last_used_at=datetime.now(UTC))
    names = _make_rows(organization_id)
    marks = {value.partition("_")[2] for value in names.values()}
    marks |= {organization.name, organization_id.hex, str(organization_id)}
    marks |= {caller.api_key.prefix for caller in callers.values()}
    mine = Project.objects.for_organization(organization_id)
    marks |= set(mine.values_list("name", flat=True))
    return Tenant(organization_id, names, callers, frozenset(marks))


def _make_rows(organization_id: uuid.UUID) -> dict[str, str]:
    build = make_build_in("queued", organization_id)
    ended = make_build_in("deployed", organization_id)
    BuildLogLine.objects.create(build=build, seq=1, stream="stdout", text=f"log {build.id.hex}")
    idle = make_project(organization_id)
    fetch = Fetch.objects.create(
        organization_id=organization_id,
        project_id=build.project_id,
        url="https://example.org/site.git",
        job_id=enqueue(Probe(), organization_id=organization_id).id,
        created_by="test",
    )
    TelemetryEvent.objects.create(
        key=new_id(),
        name="drill.done",
        at=datetime.now(UTC),
        organization_id=organization_id,
        source="test",
        data={"buildId": public_id("build", build.id)},
    )
    rows = {
        "project": build.project_id,
        "idle_project": idle.id,
        "source": build.source_id,
        "idle_source": make_source(idle).id,
        "build": build.id,
        "ended_build": ended.id,
        "fetch": fetch.id,
        "job": enqueue(Probe(), organization_id=organization_id).id,
        "hold": make_hold(organization_id, 7).reservation_id,
        "letter": uuid.UUID(int=make_old_letter(organization_id).pk),
        "key": _use_key(organization_id),
        **_sign(organization_id),
    }
    return {name: public_id(PREFIXES[name], row) for name, row in rows.items()}


def make_old_letter(organization_id: uuid.UUID) -> FailedJob:
    """A dead letter that a cleanup would take, and that a requeue can."""
    return make_letter(
        organization_id=organization_id,
        died_ago=timedelta(days=3),
        payload={"action": "succeed"},
        message=f"of {organization_id.hex}",
    )


def _sign(organization_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Let the organization have a client that signs, and has been seen."""
    now = datetime.now(UTC)
    client = make_client(organization=Organization(organization_id)).api_key
    key, _ = issue_signing_key(api_key_id=client.id, overlap=timedelta(0), actor="test", now=now)
    SignatureUse.objects.create(
        use_hash=key.id.bytes, api_key=client, proof="both", expires_at=now + timedelta(hours=1)
    )
    SignatureTally.objects.create(api_key=client, hour=now, outcome="replay", count=1)
    return {"client": client.id, "signing_key": key.id}


def _use_key(organization_id: uuid.UUID) -> uuid.UUID:
    """Let a key of the organization have an answer; return what the key is made of."""
    named = new_id()
    claim = make_claim(
        organization_id=organization_id,
        method="POST",
        route="v1/credits/reserve",
        target="/v1/credits/reserve",
        media_type="application/json",
        key=public_id(PREFIXES["key"], named),
        body_sha256=b"",
        request_id="req_of_a_key",
    )
    with transaction.atomic():  # A part of the matrix' own transaction: commits nothing.
        store_answer(claim=claim, status=201, headers={}, body=b"")
    return named


def unknown_names(names: Names) -> dict[str, str]:
    """Return ids of the same kinds that are nobody's."""
    return {name: public_id(PREFIXES[name], new_id()) for name in names}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, with its ids filled in."""

    method: str
    path: str
    body: Any
    media: str


def names_of(operation: Operation) -> list[str]:
    """Return the ids that an operation is asked with."""
    return sorted(set(re.findall(r"\{(\w+)\}", _template(operation))))


def ask_of(operation: Operation, names: Names) -> Ask:
    """Fill the ids in."""
    case = CASES[operation]
    text = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], _template(operation))
    path, _, body = text.partition("\n")
    sent: Any = case.body if isinstance(case.body, bytes) else json.loads(body)
    return Ask(operation[0], path, sent, case.media)


def _template(operation: Operation) -> str:
    """Write path, query and body with `{name}` for each id."""
    case, path = CASES[operation], operation[1]
    for parameter in re.findall(r"\{(\w+)\}", path):
        name = (IDS | case.path)[parameter]
        path = path.replace(f"{{{parameter}}}", name if name in NOT_IDS else f"<{name}>")
    path = re.sub(r"<(\w+)>", r"{\1}", path)
    body = "null" if isinstance(case.body, bytes) else json.dumps(case.body)
    return f"{path}{'?' if case.query else ''}{case.query}\n{body}"


def mixtures(operation: Operation) -> Iterator[set[str]]:
    """Yield every choice of ids that are not the caller's: at least one of them."""
    names = names_of(operation)
    for count in range(1, len(names) + 1):
        yield from map(set, itertools.combinations(names, count))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; equal to another where nobody could tell them apart."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


# Made anew for each request, or counted on by it.
_OF_THE_REQUEST: Final = {
    *("x-request-id", "x-correlation-id", "x-processing-time-ms"),
    *("ratelimit", "idempotency-expires"),
}
_TOLD_OF_IT: Final = {"requestId", "correlationId", "timestamp"}


def send(caller: ApiCaller, ask: Ask, names: Names) -> Answer:
    """Send a request, and undo what it did; `names` are what the answer may repeat."""
    with transaction.atomic():
        response = caller.request(ask.method, ask.path, ask.body, content_type=ask.media)
        raw = b"".join(response.streaming_content) if response.streaming else response.content
        transaction.set_rollback(True)
    body = raw.decode()
    if response.headers.get("Content-Type", "").startswith("application/json"):
        told = json.loads(body)
        if isinstance(told, dict):
            told = {name: value for name, value in told.items() if name not in _TOLD_OF_IT}
        body = json.dumps(told)
    headers = [(name.lower(), value) for name, value in response.headers.items()]
    kept = [(name, value) for name, value in headers if name not in _OF_THE_REQUEST]
    return Answer(response.status_code, tuple(sorted(_nameless(kept, names))), _blank(body, names))


def _nameless(headers: list[tuple[str, str]], names: Names) -> list[tuple[str, str]]:
    return [(name, _blank(value, names)) for name, value in headers]


def _blank(text: str, names: Names) -> str:
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    return text


def digest(*, of_tenants: bool = False) -> dict[str, str]:
    """Return how many rows each table has and what is in them: all that can be seen.

    `of_tenants`: only of the tables whose rows belong to organizations.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'r' AND (relrowsecurity OR NOT %s) ORDER BY 1",
            [of_tenants],
        )
        tables = [name for (name,) in cursor.fetchall()]
        parts = [
            f"SELECT '{table}', count(*) || ' ' || coalesce(md5(string_agg(row::text, ''"
            f" ORDER BY row::text)), '') FROM {table} AS row"
            for table in tables
        ]
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())
