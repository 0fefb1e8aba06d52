"""Writes of the ledger: each is one function call in the database and its audit event."""

from __future__ import annotations

from credits.services.accounts import Granted, grant_credits, open_account
from credits.services.bootstrap import Bootstrapped, bootstrap
from credits.services.expiry import expire_reservations
from credits.services.reservations import (
    Committed,
    Released,
    Reserved,
    commit_reservation,
    extend_reservation,
    release_reservation,
    reserve_credits,
)

__all__ = [
    "Bootstrapped",
    "Committed",
    "Granted",
    "Released",
    "Reserved",
    "bootstrap",
    "commit_reservation",
    "expire_reservations",
    "extend_reservation",
    "grant_credits",
    "open_account",
    "release_reservation",
    "reserve_credits",
]
