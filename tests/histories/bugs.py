"""Ways to plant a bug: in the text of a function of the database, or before a service."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import transaction

from credits.services import commit_reservation, release_reservation, reserve_credits


def rewrite(database: psycopg.Connection[Any], function: str, old: str, new: str) -> None:
    """Change the text of a function of the database; what is not there cannot be planted."""
    row = database.execute("SELECT pg_get_functiondef(%s::regproc)", [function]).fetchone()
    assert row is not None and old in row[0], (function, old)
    database.execute(row[0].replace(old, new))


def charge_twice(**asked: Any) -> Any:
    """Commit, and charge the same again by a hold that nobody asked for."""
    done = commit_reservation(**asked)
    again = {"organization_id": asked["organization_id"], "actor": "bug"}
    hold = reserve_credits(
        **again, amount_credits=1, subject_type="build", subject_id=uuid.uuid4().hex
    )
    commit_reservation(**again, reservation_id=hold.reservation_id, actual_credits=1)
    return done


def forget(**asked: Any) -> Any:
    """Answer a release, and roll it back."""
    with transaction.atomic():
        done = release_reservation(**asked)
        transaction.set_rollback(True)
    return done


def held_before(service: Callable[..., Any]) -> Callable[..., Any]:
    """Say what was available before a hold, not after it."""

    def reserve(**asked: Any) -> Any:
        done = service(**asked)
        object.__setattr__(done, "available_credits", done.available_credits + done.amount_credits)
        return done

    return reserve
