"""What the API is asked about: a few organizations with a history.

Holds, entries and audit events are made by the services; builds that ended, jobs that ended and
telemetry are written as rows, the guards of builds being off for that one statement.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

CLIENTS: Final = 8
ORGANIZATIONS: Final = 4
PROJECTS: Final = 25
LOG_LINES: Final = 200
DAYS: Final = 60
ENOUGH: Final = 10**9
ACTOR: Final = "bench"
HELD: Final = 3
# As many of each five holds were charged; the others were given back.
CHARGED: Final = 4

_GUARDS: Final = """
SELECT format('ALTER TABLE builds_build ENABLE %s TRIGGER %I',
              CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, tgname)
FROM pg_trigger WHERE tgrelid = 'builds_build'::regclass AND NOT tgisinternal
"""
_BUILT: Final = """
INSERT INTO builds_build (id, organization_id, project_id, source_id, state, previous_state,
    moved_by, builder, options, job_id, reservation_id, estimated_credits, charged_credits,
    artifact_sha256, artifact_bytes, artifact_files, error_code, error_message, created_by,
    request_id, correlation_id, cancel_requested_by, queued_at, started_at, finished_at)
SELECT uuidv7(at - now()), organization_id, project_id, source_id, state, 'building', 'worker',
    (ARRAY['static', 'mkdocs', 'sphinx', 'npm'])[1 + n %% 4], '{}', uuidv7(), hold, amount, charged,
    CASE state WHEN 'deployed' THEN repeat('a', 64) END,
    CASE state WHEN 'deployed' THEN 1000 END, CASE state WHEN 'deployed' THEN 3 END,
    CASE state WHEN 'failed' THEN 'BUILD_FAILED' END, '', 'key:bench', '', '', '', at, at,
    at + make_interval(secs => 5 + n %% 60)
  FROM (
    SELECT r.id AS hold, r.amount, r.charged, s.organization_id, s.project_id, s.id AS source_id,
        CASE r.state WHEN 'committed' THEN 'deployed' ELSE 'failed' END AS state, r.n,
        now() - make_interval(days => 1, secs => %(days)s * 86400.0 * r.n / %(count)s) AS at
      FROM (SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY id)::int AS n
              FROM credits_reservation) r
      JOIN credits_account a ON a.id = r.account_id
      JOIN (SELECT *, row_number() OVER (PARTITION BY organization_id ORDER BY id)::int AS n,
                   count(*) OVER (PARTITION BY organization_id)::int AS most
              FROM builds_source) s
        ON s.organization_id = a.organization_id AND s.n = 1 + r.n %% s.most) AS made
 ORDER BY at
"""
_RUN: Final = """
WITH made AS (
    INSERT INTO jobs_job (id, kind, version, queue, payload, failures, crashes, losses, backoff_s,
        timeout_s, delivery_no, lease_owner, request_id, correlation_id, state, attempts,
        lease_token, created_at, started_at, finished_at, organization_id)
    SELECT uuidv7(-age), 'jobs.probe', 1, 'flagship:maintenance', '{}', 0, 0, 0, '{1,2,4,8,16}', 60,
        1, '', '', '', 'succeeded', 1, 1, now() - age, now() - age, now() - age,
        (%(organizations)s::uuid[])[1 + n %% %(many)s]
      FROM generate_series(1, %(count)s) AS n,
           make_interval(secs => 86400.0 * (%(count)s - n) / %(count)s) AS age
    RETURNING id, finished_at)
INSERT INTO jobs_jobattempt (
    job_id, number, token, worker, outcome, started_at, ended_at, error_class, message, traceback)
SELECT id, 1, 1, 'host:12345:0123456789ab', 'succeeded', finished_at, finished_at, '', '', ''
  FROM made
"""
_TOLD: Final = """
INSERT INTO jobs_telemetryevent (key, name, at, organization_id, source, request_id,
    correlation_id, data)
SELECT uuidv7(), 'job.succeeded', now(), (%(organizations)s::uuid[])[1 + n %% %(many)s], 'bench',
    '', '', jsonb_build_object('number', n)
  FROM generate_series(1, %(count)s) AS n
"""


@dataclass(slots=True)
class Tenant:
    """One organization: what its clients ask for, as they name it."""

    id: uuid.UUID
    projects: list[uuid.UUID] = field(default_factory=list)
    builds: list[uuid.UUID] = field(default_factory=list)
    jobs: list[uuid.UUID] = field(default_factory=list)
    fetches: list[tuple[uuid.UUID, uuid.UUID]] = field(default_factory=list)
    # A build that ended as any does, with its events and its log.
    shown: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(slots=True)
class Ground:
    """The organizations and their clients: client n speaks for organization n modulo four."""

    tenants: list[Tenant]
    secrets: list[str]
    at_random: random.Random = field(default_factory=lambda: random.Random(1))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def of(self, number: int) -> Tenant:
        """Return the organization that request `number` is made for."""
        return self.tenants[number % CLIENTS % len(self.tenants)]


def make_ground(superuser_url: str, *, builds: int) -> Ground:
    """Make the organizations, with `builds` ended builds in all and rows in proportion."""
    tenants = [_open(number) for number in range(ORGANIZATIONS)]
    for tenant in tenants:
        _spend(tenant, builds // ORGANIZATIONS)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        _write_history(connection, tenants, builds)
        for tenant in tenants:
            _show(tenant)
        connection.execute("VACUUM ANALYZE")
        for tenant in tenants:
            _look_up(connection, tenant)
    _roll_up()
    return Ground(tenants, [_secret(tenants[n % ORGANIZATIONS]) for n in range(CLIENTS)])


def new_project(tenant: Tenant, *, max_active: int = 1) -> tuple[uuid.UUID, uuid.UUID]:
    """Make a project with a source of its own; return both ids."""
    from builds.models import Source
    from builds.services.projects import create_project

    project = create_project(
        organization_id=tenant.id,
        name=f"Site {uuid.uuid4().hex[:12]}",
        actor=ACTOR,
        max_active=max_active,
    )
    source = Source.objects.create(
        organization_id=tenant.id,
        project=project,
        sha256=uuid.uuid4().hex * 2,
        kind="tar.gz",
        size_bytes=1000,
        unpacked_bytes=5000,
        file_count=3,
    )
    return project.id, source.id


def new_build(tenant: Tenant) -> uuid.UUID:
    """Submit a build in a project of its own; return its id."""
    from builds.services.submit import BuildOrder, create_build

    project_id, source_id = new_project(tenant)
    order = BuildOrder(project_id=project_id, source_id=source_id)
    return create_build(organization_id=tenant.id, order=order, actor=ACTOR).id


def new_ended_build(tenant: Tenant) -> uuid.UUID:
    """Submit a build and cancel it; return its id."""
    from builds.services.cancel import cancel_build

    build_id = new_build(tenant)
    cancel_build(organization_id=tenant.id, build_id=build_id, actor=ACTOR)
    return build_id


def new_hold(tenant: Tenant) -> uuid.UUID:
    """Hold credits; return the reservation's id."""
    from credits.services import reserve_credits

    return reserve_credits(
        organization_id=tenant.id,
        amount_credits=HELD,
        subject_type="build",
        subject_id="build_bench",
        actor=ACTOR,
    ).reservation_id


def new_job(tenant: Tenant) -> uuid.UUID:
    """Store a job that waits; return its id."""
    from jobs.payloads import Probe
    from jobs.services.enqueue import enqueue

    return enqueue(Probe(), organization_id=tenant.id).id


def new_letter(tenant: Tenant) -> str:
    """Store a job that has died; return the id of its dead letter."""
    from jobs.models import FailedJob
    from jobs.selectors.dead_letters import letter_id
    from jobs.services.claim import Lease, claim
    from jobs.services.endings import failed
    from jobs.services.release import release

    job_id = new_job(tenant)
    claimed = claim(job_id=job_id, worker="bench", lease_s=60)
    assert claimed is not None
    ending = failed(RuntimeError("no space"), permanent=True)
    release(lease=Lease(job_id, claimed.token), ending=ending)
    return letter_id(FailedJob.objects.get(job_id=job_id))


def _open(number: int) -> Tenant:
    from credits.services import grant_credits, open_account
    from flagship.services.organizations import create_organization

    tenant = Tenant(create_organization(name=f"Bench {number}", actor=ACTOR).id)
    open_account(organization_id=tenant.id)
    grant_credits(
        organization_id=tenant.id,
        amount_credits=ENOUGH,
        reason="bench",
        actor=ACTOR,
        reference="bench",
    )
    tenant.projects = [new_project(tenant)[0] for _ in range(PROJECTS)]
    return tenant


def _spend(tenant: Tenant, count: int) -> None:
    from credits.services import commit_reservation, release_reservation

    for number in range(count):
        hold = new_hold(tenant)
        if number % 5 < CHARGED:
            commit_reservation(
                reservation_id=hold, organization_id=tenant.id, actual_credits=2, actor=ACTOR
            )
        else:
            release_reservation(
                reservation_id=hold, organization_id=tenant.id, reason="failed", actor=ACTOR
            )


def _write_history(connection: psycopg.Connection[Any], tenants: list[Tenant], builds: int) -> None:
    told = {"organizations": [tenant.id for tenant in tenants], "many": len(tenants)}
    with _unguarded(connection):
        per_tenant = builds // len(tenants)
        connection.execute(_BUILT, {"days": DAYS, "count": per_tenant})
    connection.execute(_RUN, told | {"count": builds})
    connection.execute(_TOLD, told | {"count": builds})


@contextlib.contextmanager
def _unguarded(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let builds be written that never moved; afterwards every guard is back as it was."""
    guards = [row[0] for row in connection.execute(_GUARDS).fetchall()]
    connection.execute("ALTER TABLE builds_build DISABLE TRIGGER USER")
    yield
    for guard in guards:
        connection.execute(guard)


def _show(tenant: Tenant) -> None:
    from builds.models import BuildLogLine
    from builds.services.fetches import start_fetch

    tenant.shown = new_ended_build(tenant)
    BuildLogLine.objects.bulk_create(
        BuildLogLine(build_id=tenant.shown, seq=seq, stream="stdout", text=f"line {seq} " * 5)
        for seq in range(1, LOG_LINES + 1)
    )
    for project_id in tenant.projects[:10]:
        fetch = start_fetch(
            organization_id=tenant.id,
            project_id=project_id,
            url="https://git.example.com/site.git",
            actor=ACTOR,
        )
        tenant.fetches.append((project_id, fetch.id))


def _look_up(connection: psycopg.Connection[Any], tenant: Tenant) -> None:
    for name, table in (("builds", "builds_build"), ("jobs", "jobs_job")):
        rows = connection.execute(
            f"SELECT id FROM {table} WHERE organization_id = %s AND finished_at IS NOT NULL",
            (tenant.id,),
        )
        setattr(tenant, name, [row[0] for row in rows])


def _roll_up() -> None:
    from builds.selectors.rollups import list_days_due
    from builds.services.rollups import roll_day

    for day in list_days_due():
        roll_day(day=day)


def _secret(tenant: Tenant) -> str:
    from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES, issue_api_key

    _, secret = issue_api_key(
        organization_id=tenant.id, name="bench", scopes=[*SCOPES, *OPERATOR_SCOPES]
    )
    return secret


def since(days: int) -> str:
    """Return the day so many days ago, as a query parameter."""
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()
