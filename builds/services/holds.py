"""The credits a build holds: kept while it lives, then charged or given back (B-06, C-02)."""

from __future__ import annotations

from django.db import transaction

from builds.models import Build
from credits.errors import ReservationCeilingReached, ReservationExpired
from credits.services import (
    commit_reservation,
    extend_reservation,
    release_reservation,
    reserve_credits,
)
from credits.states import RESERVATION_EXPIRES_IN_S
from jobs.ids import public_id

ACTOR = "worker"


def keep_hold(build: Build) -> None:
    """Extend the build's hold; take a new one where it expired while the build waited.

    The build's project is locked. Raises: InsufficientCredits; nothing has changed then.
    """
    try:
        with transaction.atomic():
            extend_reservation(
                reservation_id=build.reservation_id,
                expires_in_s=RESERVATION_EXPIRES_IN_S,
                actor=ACTOR,
            )
    except ReservationCeilingReached:
        return  # It lasts for now; once it has run out, the branch below takes a new one.
    except ReservationExpired:
        reserved = reserve_credits(
            organization_id=build.organization_id,
            amount_credits=build.estimated_credits,
            subject_type="build",
            subject_id=public_id("build", build.id),
            actor=ACTOR,
        )
        build.reservation_id = reserved.reservation_id
        Build.objects.filter(id=build.id).update(reservation_id=reserved.reservation_id)


def charge(build: Build, price_credits: int) -> int:
    """Commit the build's hold with what was used; return the charge.

    More than was held is taken from the free balance, and a hold that expired is taken anew, both
    by the ledger in the same transaction (C-03). Raises: InsufficientCredits.
    """
    return commit_reservation(
        reservation_id=build.reservation_id,
        organization_id=build.organization_id,
        actual_credits=price_credits,
        actor=ACTOR,
    ).charged


def give_back(build: Build, *, reason: str, actor: str) -> None:
    """Release the build's hold; one that has expired has already gone back."""
    try:
        with transaction.atomic():
            release_reservation(
                reservation_id=build.reservation_id,
                organization_id=build.organization_id,
                reason=reason,
                actor=actor,
            )
    except ReservationExpired:
        return
