"""What a year of builds costs the analytics: rolling it up, and answering for all of it.

The year is generated in the database: BUILDS builds of ORGANIZATIONS organizations, half of them of
one, with the ledger entries that go with them. Then every day is rolled up as `manage.py
roll_up_analytics` does it, and the API is asked for the whole year, through all its middleware, in
this process. Bar: each question's 95th percentile under 200 ms (E-10).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from bench._system import bare_system, machine

BUILDS: Final = 1_000_000
ORGANIZATIONS: Final = 200
ASKED: Final = 40
BAR_MS: Final = 200.0
QUESTIONS: Final = (
    "builds?interval=day",
    "builds?interval=week",
    "builds?interval=month&builder=mkdocs",
    "usage?interval=day",
    "usage?interval=month",
    "segments?interval=day",
)
SIZES_OF: Final = """
SELECT relname, pg_total_relation_size(oid), reltuples::bigint FROM pg_class
WHERE relkind = 'r' AND relname ~ '^(builds_|credits_entry)' ORDER BY relname
"""

# A throwaway database: what was never submitted has no job, no hold that was ever taken, no chain.
OPEN: Final = """
ALTER TABLE builds_build DISABLE TRIGGER USER;
ALTER TABLE builds_source DISABLE TRIGGER USER;
ALTER TABLE builds_project DISABLE TRIGGER USER;
ALTER TABLE credits_account DISABLE TRIGGER USER;
ALTER TABLE credits_reservation DISABLE TRIGGER USER;
ALTER TABLE credits_entry DISABLE TRIGGER USER;
SET session_replication_role = replica;
"""
TENANTS: Final = """
INSERT INTO flagship_organization (id, name, slug, created_at)
SELECT md5('o' || n)::uuid, 'Bench ' || n, 'bench-' || n, now()
  FROM generate_series(1, %(organizations)s) AS n;
INSERT INTO credits_account (id, organization_id, created_at)
SELECT md5('a' || n)::uuid, md5('o' || n)::uuid, now()
  FROM generate_series(1, %(organizations)s) AS n;
INSERT INTO builds_project (id, organization_id, name, slug, site_name, max_active,
    default_builder, created_at, updated_at)
SELECT md5('p' || n)::uuid, md5('o' || n)::uuid, 'Site', 'site', 'site-' || n, 1, 'static',
    now(), now() FROM generate_series(1, %(organizations)s) AS n;
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count, created_at)
SELECT md5('s' || n)::uuid, md5('o' || n)::uuid, md5('p' || n)::uuid, repeat('a', 64), 'zip',
    1000, 5000, 3, now() FROM generate_series(1, %(organizations)s) AS n;
"""
# Every other build is the first organization's; 8 in 10 are deployed.
BUILT: Final = """
CREATE TEMPORARY TABLE made AS
SELECT n, CASE WHEN n %% 2 = 0 THEN 1 ELSE 1 + (n / 2) %% %(organizations)s END AS tenant,
    date_trunc('day', now(), 'UTC') - interval '364 days'
        + n * interval '364 days' / %(builds)s AS at,
    (ARRAY['deployed', 'deployed', 'deployed', 'deployed', 'failed', 'deployed', 'deployed',
           'deployed', 'deployed', 'cancelled'])[1 + n %% 10] AS state,
    (ARRAY['static', 'mkdocs', 'sphinx', 'npm'])[1 + (n * 7 / 10) %% 4] AS builder,
    exp(random_normal(3, 1)) AS seconds, md5('b' || n)::uuid AS id, md5('r' || n)::uuid AS hold
  FROM generate_series(0, %(builds)s - 1) AS n;
INSERT INTO credits_reservation (id, account_id, amount, state, subject_type, subject_id, user_id,
    reference, charged, created_at, expires_at, resolved_at)
SELECT hold, md5('a' || tenant)::uuid, 9, CASE state WHEN 'deployed' THEN 'committed' ELSE
    'released' END, 'build', id::text, 'user_' || n %% 50, '', CASE state WHEN 'deployed' THEN 5
    END, at, at + interval '30 minutes', at + interval '1 minute' FROM made;
INSERT INTO credits_entry (account_id, seq, kind, reservation_id, hold, balance_before,
    balance_delta, balance_after, reserved_before, reserved_delta, reserved_after, issued_delta,
    charged_delta, lapsed_delta, reason, reference, created_at)
SELECT md5('a' || tenant)::uuid, 1 + row_number() OVER (PARTITION BY tenant ORDER BY at, step),
    CASE WHEN step = 1 THEN 'reserve' WHEN state = 'deployed' THEN 'commit' ELSE 'release' END,
    hold, 9, 1000,
    CASE WHEN step = 2 AND state = 'deployed' THEN -5 ELSE 0 END,
    CASE WHEN step = 2 AND state = 'deployed' THEN 995 ELSE 1000 END,
    CASE step WHEN 1 THEN 0 ELSE 9 END, CASE step WHEN 1 THEN 9 ELSE -9 END,
    CASE step WHEN 1 THEN 9 ELSE 0 END, 0,
    CASE WHEN step = 2 AND state = 'deployed' THEN 5 ELSE 0 END, 0, '', '',
    at + (step - 1) * interval '1 minute'
  FROM made, generate_series(1, 2) AS step ORDER BY at;
INSERT INTO builds_build (id, organization_id, project_id, source_id, state, previous_state,
    moved_by, max_active, slot, builder, options, job_id, reservation_id, estimated_credits,
    charged_credits, artifact_sha256, artifact_bytes, artifact_files, error_code, error_message,
    created_by, request_id, correlation_id, cancel_requested_by, queued_at, started_at,
    finished_at)
SELECT id, md5('o' || tenant)::uuid, md5('p' || tenant)::uuid, md5('s' || tenant)::uuid, state,
    'building', 'worker', NULL, NULL, builder, '{}', md5('j' || n)::uuid, hold, 9,
    CASE state WHEN 'deployed' THEN 5 END,
    CASE state WHEN 'deployed' THEN repeat('a', 64) END,
    CASE state WHEN 'deployed' THEN 1000 END, CASE state WHEN 'deployed' THEN 3 END,
    CASE state WHEN 'failed' THEN 'BUILD_FAILED' END, '', 'key:bench', '', '', '', at, at,
    at + make_interval(secs => seconds) FROM made ORDER BY at;
"""


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench analytics")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--builds", type=int, default=BUILDS, help="builds of the year")
    parser.add_argument("--organizations", type=int, default=ORGANIZATIONS)
    chosen = parser.parse_args(options)
    with bare_system() as servers:
        if servers.postgres is None:
            raise SystemExit("the year needs a database of its own")
        url = servers.postgres.url("postgres")
        started = time.perf_counter()
        _generate(url, chosen.builds, chosen.organizations)
        generated_s = time.perf_counter() - started
        rolled = _roll()
        answers = {question: _ask(question) for question in QUESTIONS}
        sizes = _sizes(url)
    told = {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "builds": chosen.builds,
        "organizations": chosen.organizations,
        "generated_s": round(generated_s, 1),
        **rolled,
        "answers": answers,
        "tables": sizes,
        "met": max(each["p95_ms"] for each in answers.values()) < BAR_MS,
    }
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not told["met"])


def _generate(url: str, builds: int, organizations: int) -> None:
    """Store the year; the database is the superuser's to open, and is thrown away."""
    print(f"{builds:,} builds", file=sys.stderr, flush=True)
    given = {"builds": builds, "organizations": organizations}
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(OPEN)
        connection.execute(TENANTS, given)
        connection.execute(BUILT, given)
        connection.execute("SET session_replication_role = origin")
        connection.execute("VACUUM ANALYZE")


def _roll() -> dict[str, Any]:
    """Roll every day up; return how long all of them, and one day again, take."""
    from builds.selectors.rollups import list_days_due
    from builds.services.rollups import roll_day

    spans = []
    days = list_days_due()
    for day in days:
        started = time.perf_counter()
        roll_day(day=day)
        spans.append(time.perf_counter() - started)
    started = time.perf_counter()
    roll_day(day=days[-1])
    return {
        "days": len(days),
        "rolled_s": round(sum(spans), 1),
        "day_ms": round(statistics.median(spans) * 1000, 1),
        "slowest_day_ms": round(max(spans) * 1000, 1),
        "again_ms": round((time.perf_counter() - started) * 1000, 1),
    }


def _ask(question: str) -> dict[str, Any]:
    """Ask for the year as the organization with half of all builds; return milliseconds."""
    from datetime import UTC, datetime, timedelta

    from django.test import Client

    from flagship.models import Organization
    from flagship.services.api_keys import issue_api_key

    organization = Organization.objects.get(slug="bench-1")
    scopes = ["builds:read", "credits:read", "analytics:platform"]
    _, secret = issue_api_key(organization_id=organization.id, name=uuid.uuid4().hex, scopes=scopes)
    until = datetime.now(UTC).date()
    path = f"/v1/analytics/{question}&since={until - timedelta(days=364)}&until={until}"
    client = Client(headers={"Authorization": f"Bearer {secret}", "Host": "localhost"})
    spans, size = [], 0
    for _ in range(ASKED):
        started = time.perf_counter()
        response = client.get(path)
        spans.append((time.perf_counter() - started) * 1000)
        if response.status_code != 200:
            raise SystemExit(f"{path}: {response.status_code} {response.content[:500]!r}")
        size = len(response.content)
    spans.sort()
    return {
        "p50_ms": round(statistics.median(spans), 1),
        "p95_ms": round(spans[int(len(spans) * 0.95)], 1),
        "bytes": size,
    }


def _sizes(url: str) -> dict[str, dict[str, int]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        found = connection.execute(SIZES_OF).fetchall()
    return {name: {"bytes": size, "rows": rows} for name, size, rows in found if rows > 0}


def _report(told: dict[str, Any]) -> str:
    from bench.jobs.report import table

    asked = [["asked for the year", "p50, ms", "p95, ms", "bytes"]]
    for question, each in told["answers"].items():
        asked.append([question, f"{each['p50_ms']}", f"{each['p95_ms']}", f"{each['bytes']:,}"])
    stored = [["table", "rows", "MiB with indexes"]]
    for name, each in told["tables"].items():
        stored.append([name, f"{each['rows']:,}", f"{each['bytes'] / 2**20:.1f}"])
    met = "yes" if told["met"] else "NO"
    return (
        f"{told['machine']}; load average {told['load']:.1f}\n"
        f"{told['builds']:,} builds of {told['organizations']} organizations\n\n"
        f"rolled up {told['days']} days in {told['rolled_s']} s: {told['day_ms']} ms a day,"
        f" {told['slowest_day_ms']} ms the slowest, {told['again_ms']} ms the last one again\n\n"
        f"{table(asked)}\n\n{table(stored)}\n\nP95 under {BAR_MS:.0f} ms: met {met}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
