"""What row-level security costs: the engine's statements with it and without, and the API's.

Rounds with the policies and rounds without them take turns on one connection, so that what else
the machine does falls on both. What counts is the processor time of the PostgreSQL backend, which
waiting for anybody does not change, and the time of the whole where the client's part matters.
Units: microseconds a job, a query or a request; the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import psycopg

from bench._system import bare_system, machine

JOBS: Final = 400
ROUNDS: Final = 9
Measure = Callable[[], int]


def main(arguments: list[str]) -> None:
    """Run every comparison and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with (
        bare_system(ALLOWED_HOSTS="testserver") as servers,
        psycopg.connect(servers.environment["DATABASE_OWNER_URL"], autocommit=True) as owner,
    ):
        found = compare(owner, options.rounds)
    if options.json:
        print(json.dumps({"machine": machine(), "us": found}))
        return
    print(f"{'':<28}{'with':>9}{'without':>9}{'ratio':>8}   us of the backend; of the whole")
    for name, row in found.items():
        (cpu, bare_cpu), (wall, bare_wall) = row["backend"], row["whole"]
        print(
            f"{name:<28}{cpu:>9.1f}{bare_cpu:>9.1f}{cpu / bare_cpu:>8.3f}"
            f"   {wall:.1f} {bare_wall:.1f} {wall / bare_wall:.3f}"
        )


def compare(
    owner: psycopg.Connection[Any], rounds: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return for each measure the medians with the policies and without."""
    from django.conf import settings
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    found = {}
    role = settings.DATABASE_TENANT_ROLE
    for name, measure in measures().items():
        samples: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        measure()
        for number in range(2 * rounds):
            is_walled = number % 2 == 0
            switch(owner, is_walled)
            settings.DATABASE_TENANT_ROLE = role if is_walled else ""
            cpu, began = cpu_s(backend), time.perf_counter()
            count = measure()
            spent = time.perf_counter() - began
            # Clock ticks are coarse, hence many operations in each round.
            samples[is_walled].append(((cpu_s(backend) - cpu) / count * 1e6, spent / count * 1e6))
        found[name] = {
            "backend": tuple(statistics.median(s[0] for s in samples[w]) for w in (True, False)),
            "whole": tuple(statistics.median(s[1] for s in samples[w]) for w in (True, False)),
        }
        print(f"{name}: {found[name]}", file=sys.stderr)
    switch(owner, True)
    return found  # type: ignore[return-value]  # two of each


def switch(owner: psycopg.Connection[Any], is_walled: bool) -> None:
    """Turn row-level security of all tables that have policies on or off."""
    rows = owner.execute("SELECT DISTINCT tablename FROM pg_policies").fetchall()
    verb = "ENABLE" if is_walled else "DISABLE"
    for (table,) in rows:
        owner.execute(f'ALTER TABLE "{table}" {verb} ROW LEVEL SECURITY'.encode())


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, to the nanosecond."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def measures() -> dict[str, Measure]:
    """Return what is measured: each does its work and says how many times."""
    from django.test import Client

    from builds.models import Build
    from jobs.ids import public_id
    from jobs.models import Job
    from jobs.payloads import Probe
    from jobs.services.claim import Lease, claim
    from jobs.services.complete import complete
    from jobs.services.enqueue import enqueue_many
    from tests.clients import make_client
    from tests.factories import make_build, make_project

    caller = make_client()
    build = make_build(make_project(caller.organization.id))
    organization_id: uuid.UUID = caller.organization.id
    client = Client()
    headers = {"Authorization": f"Bearer {caller.secret}"}

    def engine() -> int:
        """Store, claim and complete jobs, the last two one by one."""
        for job_id in enqueue_many([Probe()] * JOBS, organization_id=organization_id):
            held = claim(job_id=job_id, worker="bench", lease_s=15.0)
            assert held is not None
            complete(lease=Lease(held.job_id, held.token), result=None)
        return JOBS

    def orm() -> int:
        for _ in range(JOBS):
            Job.objects.filter(id=build.job_id).first()
        return JOBS

    def asked(path: str, count: int) -> Measure:
        def ask() -> int:
            for _ in range(count):
                answer = client.get(path, headers=headers)
                assert answer.status_code == 200, answer.content
            return count

        return ask

    def created() -> int:
        for _ in range(50):
            answer = caller.post("/v1/projects", {"name": f"Site {uuid.uuid4().hex}"})
            assert answer.status_code == 201, answer.content
        return 50

    name = public_id("build", build.id)
    assert Build.objects.filter(id=build.id).exists()
    return {
        "store, claim, complete": engine,
        "a row by the ORM": orm,
        "GET /v1/builds/{id}": asked(f"/v1/builds/{name}", 100),
        "GET /v1/builds": asked("/v1/builds", 100),
        "GET .../events": asked(f"/v1/builds/{name}/events", 100),
        "GET /v1/credits/account": asked("/v1/credits/account", 100),
        "POST /v1/projects": created,
    }
