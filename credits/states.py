"""What a reservation and a ledger entry can be; nothing else lists them."""

from __future__ import annotations

from typing import Final

from django.db.models import TextChoices


class ReservationState(TextChoices):
    """A reservation is held until exactly one entry resolves it."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class EntryKind(TextChoices):
    """What an entry does to its account.

    `reversal` is kept free for a correction that undoes a grant or a charge by a new entry.
    """

    OPEN = "open"
    GRANT = "grant"
    RESERVE = "reserve"
    COMMIT = "commit"
    RELEASE = "release"
    EXPIRE = "expire"


# The entry that moves a held reservation, and where to: the database's triggers hold the same.
RESOLUTIONS: Final[dict[EntryKind, ReservationState]] = {
    EntryKind.COMMIT: ReservationState.COMMITTED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRE: ReservationState.EXPIRED,
}

# Seed 002: a reservation expires after 30 minutes (C-02).
RESERVATION_EXPIRES_IN_S: Final = 1800.0
# The largest amount of one operation, in credits.
MAX_AMOUNT_CREDITS: Final = 10**12
