"""What the console's pages of dead letters cost at a million letters and five million attempts.

Letters, jobs and attempts are generated in the database, then every page and every filter is asked
for, through all its middleware and templates, in this process. Bars: the 95th percentile of each
under 300 ms of server time, with 20 queries at most; for the dry run of a cleanup, which counts
every old letter, a second. On a machine that does other work beside, read the processor time:
waiting for others is no part of it. Then a cleanup by the thousand, and deaths of one cause at
once, counted in four ways (docs/adr/0018).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from bench import _deaths
from bench._letters import fill, sizes
from bench._system import bare_system, machine
from bench.jobs.report import table
from bench.wall import cpu_s

LETTERS: Final = 1_000_000
ATTEMPTS: Final = 5
ASKED: Final = 20
BAR_MS: Final = 300.0
DRY_RUN: Final = "cleanup, dry run"
DRY_RUN_BAR_MS: Final = 1_000.0
BAR_QUERIES: Final = 20
# The overview is seven panels, each of which may ask a few times.
BAR_QUERIES_OVERVIEW: Final = 40
# What keeps one operator from asking as a benchmark does: counted as ever, and never reached.
QUOTAS: Final = dict.fromkeys(("RATE_LIMIT_IP", "RATE_LIMIT_USER"), "9999999/60")
OVERVIEW: Final = ("/admin/", "/admin/overview/")

_LIST: Final = "/admin/jobs/failedjob/"
_COMMON, _RARE = (f"v2-{cause:040d}" for cause in (1, 1_777))


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    chosen = _parse(options)
    with (
        bare_system(ALLOWED_HOSTS="testserver", **QUOTAS) as servers,
        psycopg.connect(servers.environment["DATABASE_OWNER_URL"], autocommit=True) as owner,
    ):
        started = time.monotonic()
        fill(owner, chosen.letters, chosen.attempts)
        filled_s = round(time.monotonic() - started)
        print(f"filled in {filled_s} s", file=sys.stderr, flush=True)
        _settle()
        told: dict[str, Any] = {
            "machine": machine(),
            "filled_s": filled_s,
            "sizes": sizes(owner),
            "folding": _fold(owner),
            "pages": {
                name: _ask(path, chosen.asked, DRY_RUN_BAR_MS if name == DRY_RUN else BAR_MS)
                for name, path in _pages().items()
            },
            "cleanup": _clean(),
            "deaths": {
                name: {"deaths_per_s": way.deaths_per_s, "p95_ms": way.p95_ms}
                for name, way in _deaths.compare(servers.environment["DATABASE_OWNER_URL"]).items()
            },
        }
    met = all(page["met"] for page in told["pages"].values())
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not met)


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench console")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--letters", type=int, default=LETTERS)
    parser.add_argument("--attempts", type=int, default=ATTEMPTS, help="of each letter's job")
    parser.add_argument("--asked", type=int, default=ASKED, help="requests for each page")
    return parser.parse_args(options)


def _settle() -> None:
    """Load what the served entry has loaded, and end as it does (config/wsgi.py)."""
    from django.urls import get_resolver

    from config.serving import settle

    _ = get_resolver().url_patterns
    settle()


def _pages() -> dict[str, str]:
    """Return what is asked for: name and address."""
    from jobs.models import FailedJob, FailureGroup
    from jobs.selectors.letter_pages import Place

    middle = Place(datetime.now(UTC) - timedelta(days=30), 0)
    letter = FailedJob.objects.filter(state="open").latest("died_at")
    group = FailureGroup.objects.order_by("-deaths")[0].pk
    lists = {
        "letters, open": "",
        "letters, oldest": "?after=0-0",
        "letters, in the middle": f"?before={middle}",
        "letters, all": "?state=all",
        "letters, discarded": "?state=discarded",
        "queue": "?queue=flagship:usage",
        "kind, common": "?kind=bench.kind_1",
        "kind, that nobody has": "?kind=bench.none",
        "error class": "?error_class=builtins.KeyError",
        "organization": "?organization=bench-77",
        "fingerprint, common": f"?fingerprint={_COMMON}",
        "fingerprint, rare": f"?fingerprint={_RARE}&state=all",
        "age, an hour": "?age=1h",
        "age, over 30 days": "?age=over30d",
        "age and kind": "?age=over30d&kind=bench.kind_3",
        "died between": "?died_since=2026-01-01&died_until=2099-01-01&state=all",
        "kind and error class": "?kind=bench.kind_1&error_class=httpx.ConnectTimeout",
        "two that never meet": "?kind=bench.kind_1&error_class=builtins.OSError",
        "organization, queue, discarded": "?organization=bench-8&queue=flagship:content"
        "&state=discarded",
        "payload, one letter": "?q=order%3D4711",
        "payload, some letters": "?q=customer%3Dc77&state=all",
        "payload, a quarter": "?q=region%3D1",
        "payload, half": "?q=urgent%3Dtrue&state=all",
        "payload, none": "?q=customer%3Dnobody",
        "payload, two fields": "?q=customer%3Dc77+urgent%3Dfalse",
        "payload and queue": "?q=region%3D2&queue=flagship:usage",
        "words, rare": "?q=order+4711",
        "words, in all": "?q=answer+service",
        "words, some": "?q=service+1500",
        "words, none": "?q=nothing",
        "job id": f"?q=job_{letter.job_id.hex}&state=all",
        "request id": f"?q={letter.request_id}&state=all",
        "fingerprint, searched": f"?q={_RARE[:-2]}77",
    }
    return {name: _LIST + query for name, query in lists.items()} | {
        "one letter": f"{_LIST}{letter.pk}/change/",
        "editor": f"{_LIST}{letter.pk}/edit/",
        DRY_RUN: f"{_LIST}cleanup/",
        "groups": "/admin/jobs/failuregroup/",
        "groups, by deaths": "/admin/jobs/failuregroup/?o=-4&standing=all",
        "groups, by words": "/admin/jobs/failuregroup/?q=service+17&standing=all",
        "one group": f"/admin/jobs/failuregroup/{group}/change/",
        "one job": f"/admin/jobs/job/{letter.job_id}/change/",
        "one job, how it stands": f"/admin/jobs/job/{letter.job_id}/standing/",
        "overview": "/admin/",
        "overview, its parts": "/admin/overview/",
        "queues": "/admin/jobs/queuepause/",
        "queues, their parts": "/admin/jobs/queuepause/parts/",
        "workers": "/admin/jobs/workerheartbeat/",
        "schedules": "/admin/jobs/schedule/",
        "live log": "/admin/jobs/telemetryevent/",
    }


def _ask(path: str, asked: int, bar_ms: float) -> dict[str, Any]:
    """Ask for a page so many times; return milliseconds and the queries of one more."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = _operator()
    took, spent = [], []
    for _ in range(asked):
        began, worked = time.perf_counter(), _processor_s()
        answer = client.get(path)
        took.append((time.perf_counter() - began) * 1000)
        spent.append((_processor_s() - worked) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code}")
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    p95 = statistics.quantiles(took, n=20)[-1]
    found = {
        "median_ms": round(statistics.median(took), 1),
        "p95_ms": round(p95, 1),
        "processor_ms": round(statistics.median(spent), 1),
        "queries": len(captured),
        "met": p95 < bar_ms
        and len(captured) <= (BAR_QUERIES_OVERVIEW if path in OVERVIEW else BAR_QUERIES),
    }
    print(f"{path}: {found}", file=sys.stderr, flush=True)
    return found


def _processor_s() -> float:
    """Return the processor time of this process and of its backend: nobody else's work is in it."""
    from django.db import connection

    connection.ensure_connection()
    return time.process_time() + cpu_s(connection.connection.info.backend_pid)


def _operator() -> Any:
    """Return a client of somebody who may see everything."""
    from django.contrib.auth.models import User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


def _clean() -> dict[str, Any]:
    """Acknowledge the largest group and clean up what is old in it."""
    from jobs.services.cleanup import clean_dead_letters
    from jobs.services.failure_groups import acknowledge_group

    acknowledge_group(fingerprint=_COMMON, actor="user:bench", note="bench")
    batches, letters = [], 0
    began = before = time.perf_counter()
    for deleted in clean_dead_letters(
        older_than=timedelta(days=30), actor="user:bench", reason="bench"
    ):
        now = time.perf_counter()
        batches.append((now - before) * 1000)
        before, letters = now, letters + deleted
    spent = time.perf_counter() - began
    return {
        "letters": letters,
        "letters_per_s": round(letters / spent),
        "median_batch_ms": round(statistics.median(batches), 1),
        "slowest_batch_ms": round(max(batches), 1),
    }


def _fold(owner: psycopg.Connection[Any]) -> dict[str, Any]:
    """Fold what the filling noted, as is done each minute; return how many notes and how long.

    Then vacuum what that leaves, as autovacuum does within a minute of so many.
    """
    from jobs.services.failure_groups import fold_deaths

    began, folded = time.perf_counter(), 0
    while taken := fold_deaths():
        folded += taken
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    for name in ("jobs_failuredelta", "jobs_failuregroup"):
        owner.execute(f"VACUUM ANALYZE {name}")
    return {"notes": folded, "took_ms": took_ms}


def _report(told: dict[str, Any]) -> str:
    pages = [["page", "median ms", "P95 ms", "processor ms", "queries", "met"]]
    for name, page in told["pages"].items():
        met = "yes" if page["met"] else "NO"
        times = [str(page[key]) for key in ("median_ms", "p95_ms", "processor_ms", "queries")]
        pages.append([name, *times, met])
    stored = [["table", "rows", "MB", "of indexes"]]
    for name, (rows, own, of_indexes) in told["sizes"].items():
        stored.append([name, f"{rows:,}", f"{own / 1e6:,.0f}", f"{of_indexes / 1e6:,.0f}"])
    deaths = [["deaths of one cause at once", "a second", "P95 ms"]]
    for name, way in told["deaths"].items():
        deaths.append([name, f"{way['deaths_per_s']:,}", f"{way['p95_ms']}"])
    cleaned, folded = told["cleanup"], told["folding"]
    return "\n\n".join(
        [
            f"{told['machine']}; filled in {told['filled_s']} s",
            table(stored),
            table(pages),
            f"cleanup: {cleaned['letters']:,} letters, {cleaned['letters_per_s']:,}/s, batch"
            f" {cleaned['median_batch_ms']} ms (slowest {cleaned['slowest_batch_ms']});"
            f" folding {folded['notes']:,} notes: {folded['took_ms']} ms",
            table(deaths),
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
