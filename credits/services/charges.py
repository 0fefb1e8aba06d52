"""What the domains above say they charged, for the reconciler: it knows none of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Charge:
    """One piece of work that credits were held for, as its own domain has it.

    `charged` is what it says was taken for it, None where nothing may have been.
    Units: whole credits.
    """

    subject_id: str
    organization_id: uuid.UUID
    reservation_id: uuid.UUID
    charged: int | None


ChargeReader = Callable[[Collection[uuid.UUID]], Iterable[Charge]]
"""Reads the work of these organizations, all of it, in the caller's transaction, bit by bit."""

_readers: dict[str, ChargeReader] = {}


def register_charges(subject_type: str, reader: ChargeReader) -> None:
    """Let the reconciler match a domain's work to the ledger; called once, at start."""
    _readers[subject_type] = reader


def charge_readers() -> dict[str, ChargeReader]:
    """Return the readers, by subject type."""
    return dict(_readers)
