"""Writes of the ledger: each is one function call in the database and its audit event."""

from __future__ import annotations

from credits.services.accounts import Granted, grant_credits, open_account
from credits.services.bootstrap import Bootstrapped, bootstrap
from credits.services.charges import Charge, register_charges
from credits.services.expiry import expire_reservations
from credits.services.freezes import lift_freeze
from credits.services.lapses import lapse_grants
from credits.services.proof import Reconciled, reconcile
from credits.services.reservations import (
    Committed,
    Hold,
    Released,
    Reserved,
    commit_reservation,
    extend_reservation,
    release_reservation,
    reserve_credits,
    reserve_each,
)
from credits.services.reversals import Reversed, reverse_entry

__all__ = [
    "Bootstrapped",
    "Charge",
    "Committed",
    "Granted",
    "Hold",
    "Reconciled",
    "Released",
    "Reserved",
    "Reversed",
    "bootstrap",
    "commit_reservation",
    "expire_reservations",
    "extend_reservation",
    "grant_credits",
    "lapse_grants",
    "lift_freeze",
    "open_account",
    "reconcile",
    "register_charges",
    "release_reservation",
    "reserve_credits",
    "reserve_each",
    "reverse_entry",
]
