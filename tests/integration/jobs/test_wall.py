"""Stepping inside the wall and out of it: what is seen, for how long, at what price (P24)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from flagship.models import Organization
from flagship.services.organizations import create_organization
from jobs.clients.wall import inside, outside
from jobs.ids import new_id

ROOT = Path(__file__).resolve().parents[3]


def seen() -> tuple[int, str]:
    """Return how many organizations are seen, and as whom."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), current_user FROM flagship_organization")
        count, role = cursor.fetchone()
    return count, role


ALL, ONE, NONE = (2, "flagship_app"), (1, "flagship_tenant"), (0, "flagship_tenant")


@pytest.fixture
def organization(live_db: None) -> Organization:
    """One of two organizations."""
    create_organization(name="Another")
    return create_organization(name="One")


def test_inside__a_block__is_one_transaction_that_sees_one_organization(
    organization: Organization,
) -> None:
    # P24
    with inside(organization.id):
        assert connection.in_atomic_block
        assert seen() == ONE
        assert Organization.objects.get() == organization
        with inside(organization.id):
            assert connection.savepoint_ids == []
        with inside(new_id()):
            assert seen() == NONE
        assert seen() == ONE
        with outside():
            assert seen() == ALL
            with inside(organization.id):
                assert seen() == ONE
            assert seen() == ALL
        assert seen() == ONE
    assert (seen(), connection.in_atomic_block) == (ALL, False)


def test_inside__part_of_a_transaction__leaves_it_as_it_was(organization: Organization) -> None:
    # P24
    with transaction.atomic():
        assert seen() == ALL
        with inside(organization.id):
            assert seen() == ONE
        assert seen() == ALL


@pytest.mark.parametrize("nested", [False, True])
def test_inside__ended_by_an_error__is_ended(organization: Organization, nested: bool) -> None:
    # P24: also one of the database's, after which nothing but a rollback can be done.
    def go_wrong(error: Exception | None) -> None:
        with inside(organization.id):
            assert seen() == ONE
            if error:
                raise error
            Organization.objects.create(name="Another", slug="another")

    with transaction.atomic() if nested else inside(organization.id):
        for error in (RuntimeError("x"), None):
            with pytest.raises((RuntimeError, DatabaseError)), transaction.atomic():
                go_wrong(error)
            assert seen() == (ALL if nested else ONE)
    assert seen() == ALL


def test_outside__ended_by_an_error__is_ended(organization: Organization) -> None:
    # P24
    with inside(organization.id):
        with pytest.raises(IntegrityError), transaction.atomic(), outside():
            assert seen() == ALL
            Organization.objects.create(name="Another", slug="another")
        assert seen() == ONE
        with pytest.raises(RuntimeError), outside():
            raise RuntimeError
        assert seen() == ONE
        with outside():
            with pytest.raises(IntegrityError), transaction.atomic():
                Organization.objects.create(name="Another", slug="another")
            assert seen() == ALL
        assert seen() == ONE


def test_inside__rolled_back__has_changed_nothing(organization: Organization) -> None:
    # P24
    with inside(organization.id):
        Organization.objects.update(name="Changed")
        transaction.set_rollback(True)

    organization.refresh_from_db()
    assert organization.name == "One"
    assert seen() == ALL


def test_inside__committed__has_done_what_waited_for_it(organization: Organization) -> None:
    # P24, W-04
    told: list[str] = []
    with inside(organization.id):
        Organization.objects.update(name="Changed")
        transaction.on_commit(lambda: told.append(Organization.objects.get(name="Changed").name))
        assert told == []

    assert told == ["Changed"]


def test_inside__whose_commit_fails__says_so_and_has_changed_nothing(
    organization: Organization,
) -> None:
    # P24, W-04: what is deferred is looked at when all else is done.
    told: list[str] = []
    with pytest.raises(IntegrityError), inside(organization.id):
        with connection.cursor() as cursor, outside():
            cursor.execute(
                "CREATE TEMPORARY TABLE one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
            )
            cursor.execute("INSERT INTO one VALUES (1), (1)")
        transaction.on_commit(lambda: told.append("committed"))
        Organization.objects.update(name="Changed")
        assert Organization.objects.get().name == "Changed"
        is_reached = True

    assert is_reached
    assert (Organization.objects.filter(name="Changed").count(), told) == (0, [])
    assert seen() == ALL


def test_inside__whose_connection_was_closed__leaves_one_that_works(
    organization: Organization,
) -> None:
    # P24: what the block had done is gone with it, and nothing that waited for a commit is done.
    told: list[str] = []
    with inside(organization.id):
        Organization.objects.update(name="Changed")
        transaction.on_commit(lambda: told.append("committed"))
        connection.close()
        transaction.on_commit(lambda: told.append("closed"))

    assert (seen(), told) == (ALL, [])
    assert not Organization.objects.filter(name="Changed").exists()
    with inside(organization.id):
        assert seen() == ONE


def test_inside__in_another_thread__is_nothing(organization: Organization) -> None:
    # P24: a connection belongs to a thread, and so does what it sees.
    found: list[Any] = []

    def look() -> None:
        found.append(seen())
        connection.close()

    with inside(organization.id):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert found == [ALL]


def test_inside__without_the_role__is_a_transaction(
    organization: Organization, settings: Any
) -> None:
    settings.DATABASE_TENANT_ROLE = ""

    with inside(organization.id):
        assert seen() == ALL
        assert connection.in_atomic_block


@contextmanager
def round_trips() -> Iterator[list[int]]:
    """Count what is waited for on this thread's connection: libpq's own trace of its protocol."""
    raw: Any = connection.connection
    found: list[int] = []
    with tempfile.TemporaryFile() as trace:
        raw.pgconn.trace(trace.fileno())
        try:
            yield found
        finally:
            raw.pgconn.untrace()
            trace.seek(0)
            found.append(trace.read().count(b"ReadyForQuery"))


def test_inside__as_a_transaction__costs_no_round_trip(organization: Organization) -> None:
    # P24: what is set travels with BEGIN.
    seen()
    with round_trips() as plain, transaction.atomic():
        seen()
    with round_trips() as walled, inside(organization.id):
        seen()

    assert (plain, walled) == ([3], [3])


def test_outside__where_no_wall_is__costs_nothing(organization: Organization) -> None:
    with round_trips() as found, outside():
        pass

    assert found == [0]


SERVING = """
import config.wsgi
from django.db import connection
from jobs.clients.wall import inside, outside
from tests.integration.jobs.test_wall import seen
import threading, uuid

def look():
    print(*seen())
    connection.close()

look()
with inside(uuid.UUID("%s")):
    print(*seen())
print(*seen())
with outside():
    print(*seen())
    try:
        with outside():
            raise RuntimeError
    except RuntimeError:
        print(*seen())
print(*seen())
thread = threading.Thread(target=look)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_process__that_serves_the_api__sees_nothing_until_told_whose(
    organization: Organization, interface: str
) -> None:
    # P24: what was forgotten shows nothing, on every connection of the process.
    script = SERVING.replace("wsgi", interface) % organization.id
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"},
        capture_output=True,
        text=True,
        check=False,
    )

    nothing, one, everything = (" ".join(map(str, each)) for each in (NONE, ONE, ALL))
    assert done.stdout.splitlines() == [
        *(nothing, one, nothing),
        *(everything, everything, nothing, nothing),
    ], done.stderr
