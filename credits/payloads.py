"""Payloads of the credits app's jobs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from jobs.payloads import Payload


class ExpireReservations(Payload):
    """Sweep overdue holds; safe any number of times, each hold is expired by one entry."""

    KIND: ClassVar[str] = "credits.expire_reservations"

    limit: int = Field(default=1000, ge=1, le=100_000, description="Holds looked at in one run.")


class LapseGrants(Payload):
    """Let overdue grants lapse; safe any number of times, what has lapsed is gone."""

    KIND: ClassVar[str] = "credits.lapse_grants"

    limit: int = Field(default=1000, ge=1, le=100_000, description="Accounts looked at in one run.")


class ReconcileCredits(Payload):
    """Prove every account from its entries, write the statements that are due; reads mostly."""

    KIND: ClassVar[str] = "credits.reconcile"
