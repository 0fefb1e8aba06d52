"""The rules in the database can be taken off and put on again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psycopg

from tests.conftest import ROOT
from tests.factories import make_account
from tests.integration.builds.rows import make_build_in
from tests.servers import SERVERS

RULES = """
SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'builds_%'
UNION ALL
SELECT conname FROM pg_constraint WHERE contype = 'f' AND conname IN (
    'source_project_of_organization', 'build_project_of_organization',
    'build_source_of_project', 'build_max_active_of_project', 'project_live_build_of_project',
    'build_rebuild_of_project', 'build_superseded_by_of_project',
    'fetch_project_of_organization', 'fetch_source_of_project')
"""


def migrate(*name: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "builds", *name, "--verbosity=0"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": SERVERS.owner_url()},
        check=True,
        timeout=120,
    )


def rules(connection: psycopg.Connection[Any]) -> set[str]:
    return {row[0] for row in connection.execute(RULES)}


def test_rules__migrated_back_and_forth__are_the_same(owner_db: psycopg.Connection[Any]) -> None:
    # B-02 B-03
    before = rules(owner_db)
    assert len(before) >= 21
    assert {"build_guard", "fetch_guard", "source_guard", "project_guard"} <= before

    migrate("0001")
    assert rules(owner_db) == set()
    migrate()

    assert rules(owner_db) == before


def test_events__of_builds_from_before_there_was_a_log__are_their_moves(
    owner_db: psycopg.Connection[Any],
) -> None:
    # B-08
    build = make_build_in("failed", make_account(credits=100))
    migrate("0002")
    migrate()

    events = owner_db.execute(
        "SELECT seq, name, state, data->>'from' FROM builds_buildevent WHERE build_id = %s"
        " ORDER BY seq",
        [build.id],
    ).fetchall()

    assert events == [
        (1, "build.created", "queued", None),
        (2, "build.started", "building", "queued"),
        (3, "build.failed", "failed", "building"),
    ]
