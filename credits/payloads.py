"""Payloads of the credits app's jobs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from jobs.payloads import Payload


class ExpireReservations(Payload):
    """Sweep overdue holds; safe any number of times, each hold is expired by one entry."""

    KIND: ClassVar[str] = "credits.expire_reservations"

    limit: int = Field(default=1000, ge=1, le=100_000, description="Holds looked at in one run.")
