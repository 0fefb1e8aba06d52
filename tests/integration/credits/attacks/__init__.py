"""Raw SQL that tries to corrupt the ledger, and what must refuse it (3.1 to 3.3, P16 to P20).

`%(a)s` and the like are names of `ground.make_ground`. Several statements run as one transaction.
"""

from __future__ import annotations

from tests.integration.credits.attacks.accounts import ACCOUNT_INSERTS, ACCOUNT_UPDATES, REMOVALS
from tests.integration.credits.attacks.calls import BY_APPLICATION_ROLE, CALLS
from tests.integration.credits.attacks.entries import ENTRY_INSERTS
from tests.integration.credits.attacks.lots import LOT_ENTRIES, LOTS, PROOFS
from tests.integration.credits.attacks.reservations import RESERVATION_INSERTS, RESERVATION_UPDATES
from tests.integration.credits.attacks.shape import Attack

__all__ = ["ATTACKS", "BY_APPLICATION_ROLE", "Attack"]

ATTACKS = [
    *ACCOUNT_INSERTS,
    *ACCOUNT_UPDATES,
    *REMOVALS,
    *RESERVATION_INSERTS,
    *RESERVATION_UPDATES,
    *ENTRY_INSERTS,
    *LOTS,
    *LOT_ENTRIES,
    *PROOFS,
    *CALLS,
]
