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
    """What an entry does to its account."""

    OPEN = "open"
    GRANT = "grant"
    RESERVE = "reserve"
    COMMIT = "commit"
    RELEASE = "release"
    EXPIRE = "expire"
    LAPSE = "lapse"
    REVERSAL = "reversal"


# The entry that moves a held reservation, and where to: the database's triggers hold the same.
RESOLUTIONS: Final[dict[EntryKind, ReservationState]] = {
    EntryKind.COMMIT: ReservationState.COMMITTED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRE: ReservationState.EXPIRED,
}

# What a reversal can undo.
REVERSIBLE: Final = (EntryKind.GRANT, EntryKind.COMMIT)
# Entries that are about an earlier one: the lot that lapses, the grant or charge that is undone.
ABOUT_EARLIER: Final = (EntryKind.LAPSE, EntryKind.REVERSAL)

# Seed 002: a reservation expires after 30 minutes (C-02).
RESERVATION_EXPIRES_IN_S: Final = 1800.0
# What no setting can lift: a constraint refuses a hold that lasts longer than this (C-02).
RESERVATION_LIFE_MAX_S: Final = 7 * 24 * 3600.0
# A lot of lower priority is burnt first; the triggers give this one where a grant names none.
PRIORITY_DEFAULT: Final = 100
PRIORITY_MAX: Final = 1000
# The largest amount of one operation, in credits.
MAX_AMOUNT_CREDITS: Final = 10**12
