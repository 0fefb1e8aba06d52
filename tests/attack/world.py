"""What is attacked: a database with money, holds and builds in every state, and copies of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final

import psycopg
from django.db import connections
from django.db.models.functions import Now
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from builds.models import Build, BuildEvent, BuildLogLine, Fetch, Project
from builds.models.rollup import BuildDay, CreditDay, RolledDay, SegmentDay, UserDay
from builds.services.submit import BuildOrder, create_build
from builds.states import BuildState
from credits.models import Reservation
from credits.services import commit_reservation
from jobs import telemetry
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.factories import (
    make_account,
    make_hold,
    make_overdue_hold,
    make_project,
    make_source,
)
from tests.integration.builds.rows import make_build_in
from tests.integration.credits.ground import make_ground
from tests.servers import DATABASE, SERVERS

WORLD: Final = "flagship_attack_world"
SCRATCH: Final = "flagship_attack_scratch"


def make_world() -> dict[str, Any]:
    """Make it through the services; return the names that statements use as parameters.

    To those of the ledger's ground it adds a build in each state (`queued` and so on) with its
    project (`queued_project`), a project without builds, a stranger with a project and a source,
    and a hold for a build that is not there yet.
    """
    names = make_ground()
    organization_id, stranger = make_account(credits=1000), make_account(credits=100)
    for state in BuildState:
        build = make_build_in(state.value, organization_id)
        names |= {state.value: build.id, f"{state.value}_project": build.project_id}
    foreign = make_project(stranger)
    names |= {
        "organization": organization_id,
        "stranger": stranger,
        "stranger_project": foreign.id,
        "stranger_source": make_source(foreign).id,
        "stranger_job": enqueue(Probe(), organization_id=stranger).id,
        "empty_project": make_project(organization_id).id,
        "new_build": uuid.uuid4(),
    }
    subject_id = f"build_{names['new_build'].hex}"
    names["new_hold"] = make_hold(organization_id, 5, subject_id=subject_id).reservation_id
    names["source"] = Build.objects.get(id=names["deployed"]).source_id
    _link(names)
    return names


def _link(names: dict[str, Any]) -> None:
    """Everything that a row may point at is pointed at by one: lines, events, builds, holds."""
    _renew(names["organization"])
    _make_fetches(names)
    _make_rollups(names)
    BuildLogLine.objects.create(build_id=names["building"], seq=1, stream="stdout", text="line")
    BuildEvent.objects.create(
        build_id=names["deployed"], name="build.replayed", actor="test", data={}
    )
    deployed = Build.objects.get(id=names["deployed"])
    Project.objects.filter(id=deployed.project_id).update(
        live_build_id=deployed.id, newest_wins=True
    )
    order = BuildOrder(project_id=deployed.project_id, source_id=deployed.source_id)
    again: dict[str, Any] = {
        "organization_id": deployed.organization_id,
        "order": order,
        "actor": "test",
    }
    first = create_build(**again, idempotency_key="used", rebuild_of=deployed.id)
    # The newest wins: this one takes the place of the first.
    second = create_build(**again)
    first.refresh_from_db()
    assert (first.state, first.superseded_by_id) == ("cancelled", second.id)


def _make_fetches(names: dict[str, Any]) -> None:
    """One that waits, one that is ready."""
    facts = {"organization_id": names["organization"], "url": "https://example.org/site"}
    for name, project in (("queued_fetch", "empty_project"), ("ready_fetch", "deployed_project")):
        fetch = Fetch.objects.create(
            **facts, project_id=names[project], job_id=uuid.uuid4(), created_by="t"
        )
        names[name] = fetch.id
    fetch.state, fetch.source_id, fetch.commit = "ready", names["source"], "a" * 40
    fetch.finished_at = Now()
    fetch.save()


def _make_rollups(names: dict[str, Any]) -> None:
    """A row of each kind."""
    of = {"organization_id": names["organization"], "day": date(2026, 1, 1)}
    states = {state.value: 1 for state in BuildState}
    histogram = {"duration_s": 1.0, "duration_buckets": [1], "duration_counts": [1]}
    moved = {"entries": 1, "credits": 1}
    RolledDay.objects.create(day=of["day"], rolled_at=Now())
    BuildDay.objects.create(**of, **states, **histogram, builder="static", charged_credits=1)
    CreditDay.objects.create(**of, **moved, operation="commit")
    UserDay.objects.create(**of, user="t", charges=1, credits=1)
    SegmentDay.objects.create(
        **moved,
        day=of["day"],
        segment="all",
        operation="commit",
        organizations=1,
    )


def _renew(organization_id: uuid.UUID) -> None:
    """A hold that took the place of an expired one."""
    late = make_overdue_hold(organization_id, 5).reservation_id
    commit_reservation(
        reservation_id=late, organization_id=organization_id, actual_credits=1, actor="test"
    )
    assert Reservation.objects.get(renews_id=late).state == "committed"


def keep_world() -> None:
    """Keep the database under test as the one that copies are made of."""
    telemetry.flush(1.0)  # what a thread of this process still has to write
    connections.close_all()
    _copy(DATABASE, WORLD)


@contextmanager
def scratch() -> Iterator[str]:
    """A fresh copy of the world, gone afterwards; gives the database's name."""
    _copy(WORLD, SCRATCH)
    try:
        yield SCRATCH
    finally:
        forget(SCRATCH)


def forget(name: str) -> None:
    """Drop a database."""
    with _server() as server:
        server.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def _copy(source: str, target: str) -> None:
    forget(target)
    owner = conninfo_to_dict(SERVERS.owner_url())["user"]
    with _server() as server:
        # Whoever is still there, a thread of ours, would keep it from being copied.
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,)
        )
        server.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY WAL_LOG").format(
                sql.Identifier(target), sql.Identifier(str(owner)), sql.Identifier(source)
            )
        )


def _server() -> psycopg.Connection[Any]:
    return psycopg.connect(SERVERS.superuser_url("postgres"), autocommit=True)


@contextmanager
def connect(role: str, database: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect as owner, as application, or as superuser in the replica role.

    Inside of one transaction that is undone. Plans are not kept: guards come and go below them.
    """
    url = {
        "owner": SERVERS.owner_url(database),
        "application": make_conninfo(os.environ["DATABASE_URL"], dbname=database),
        "replica": SERVERS.superuser_url(database),
    }[role]
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.add_notice_handler(lambda _: None)
        if role == "replica":
            connection.execute("SET session_replication_role = replica")
        with connection.transaction(force_rollback=True):
            yield connection
