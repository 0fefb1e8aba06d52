"""The races see: without a lock, or without the constraint behind it, they turn red."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from builds.models import Project
from tests.factories import make_account
from tests.histories.bugs import rewrite
from tests.races.racers import Racers
from tests.races.test_credits_drain import CLIENTS, drain_a_new_one
from tests.races.test_credits_resolution import race
from tests.races.test_one_slot import race_for_the_slot

MOST = 300


def read_only(**named: Any) -> Project:
    """Read a project without locking it."""
    return Project.objects.get(id=named["project_id"])


@pytest.mark.parametrize("guarded", [True, False])
def test_slot__without_the_lock_on_the_project__is_seen_to_be_lost(
    guarded: bool, owner_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-03 P05: guarded by its constraint alone, a client hears of it; without, two hold the slot.
    monkeypatch.setattr("builds.services.submit.lock_project", read_only)
    if not guarded:
        owner_db.execute("DROP INDEX build_one_active_per_slot")

    with pytest.raises(AssertionError) as seen:
        race_for_the_slot(MOST)

    assert ("build_one_active_per_slot" in str(seen.value)) == guarded


def test_resolution__without_the_lock_on_the_account__is_seen_to_clash(
    owner_db: psycopg.Connection[Any],
) -> None:
    # P17
    rewrite(owner_db, "credits_lock_account", "FOR NO KEY UPDATE", "")
    organization = make_account(credits=1_000_000)

    with Racers(3) as racers, pytest.raises(AssertionError):
        for _ in range(MOST):
            race(racers, organization, 60, [0, 0, 0])


def test_drain__without_the_lock_on_the_account__is_seen_to_overdraw(
    owner_db: psycopg.Connection[Any],
) -> None:
    # P18
    rewrite(owner_db, "credits_lock_account", "FOR NO KEY UPDATE", "")

    with Racers(CLIENTS) as racers, pytest.raises(AssertionError, match="credits_"):
        for number in range(MOST):
            drain_a_new_one(racers, 3 + number % 5)
