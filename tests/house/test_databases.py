"""A test with real commits leaves nothing to the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.databases import look, restore
from tests.servers import Servers

CHANGES = (
    "CREATE TABLE left_behind (id integer)",
    "ALTER TABLE builds_build DISABLE TRIGGER build_guard",
    "DROP POLICY tenant ON builds_build",
    "ALTER FUNCTION builds_guard_build() SECURITY INVOKER",
    "GRANT SELECT ON credits_entry TO PUBLIC",
    "UPDATE django_migrations SET applied = now()",
)


def test_rows__of_a_test__are_taken_out_and_the_guards_stay(
    live_db: None, issue_key: Callable[..., Any], servers: Servers
) -> None:
    pristine = look()
    assert pristine is not None
    issue_key().post("/v1/projects", {"name": "Left behind"})
    filled = look()
    is_restored = restore(pristine)

    assert filled is not None and len(pristine.empty) - len(filled.empty) > 5
    assert filled.sequences != pristine.sequences
    assert is_restored and look() == pristine
    with (
        psycopg.connect(servers.owner_url(), autocommit=True) as owner,
        pytest.raises(psycopg.errors.CheckViolation, match="refused"),
    ):
        owner.execute("TRUNCATE credits_entry CASCADE")


@pytest.mark.parametrize("change", CHANGES)
def test_change__of_what_comes_with_the_migrations__is_seen(
    live_db: None, servers: Servers, change: str
) -> None:
    pristine = look()
    assert pristine is not None
    with psycopg.connect(servers.owner_url(), autocommit=True) as owner:
        owner.execute(change)

    assert not restore(pristine)
