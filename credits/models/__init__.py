"""The rows of credits; see docs/adr/0005-ledger.md for what guards them."""

from __future__ import annotations

from credits.models.account import Account
from credits.models.entry import Entry
from credits.models.lot import Draw, Lot
from credits.models.package import Package
from credits.models.proof import Freeze, Statement
from credits.models.reservation import Reservation

__all__ = [
    "Account",
    "Draw",
    "Entry",
    "Freeze",
    "Lot",
    "Package",
    "Reservation",
    "Statement",
]
