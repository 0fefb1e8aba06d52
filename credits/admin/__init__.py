"""The operations console of credits, one file per noun; all of it read-only."""

from __future__ import annotations

from credits.admin import accounts, entries, packages, reservations

__all__ = ["accounts", "entries", "packages", "reservations"]
