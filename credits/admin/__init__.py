"""The operations console of credits, one file per noun; rows are read, never edited."""

from __future__ import annotations

from credits.admin import accounts, entries, lots, overview, packages, proofs, reservations

__all__ = ["accounts", "entries", "lots", "overview", "packages", "proofs", "reservations"]
