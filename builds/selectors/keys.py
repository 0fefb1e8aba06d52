"""What is kept of a client's Idempotency-Key for ever: the build it has made (E-01, P02)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Final

from builds.models import Build
from flagship.selectors.effects import Effect
from jobs.ids import public_id

PLACES: Final = 20
"""Items a batch may have; each bears the batch's key under the number of its place."""


def hash_key(key: str) -> str | None:
    """Return the form in which a key is kept; None for no key."""
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def hash_place(batch_key: str, index: int) -> str:
    """Return the form in which a batch's key is kept for the item at a place of it."""
    # No key of a client holds a line break.
    return str(hash_key(f"{batch_key}\n{index}"))


def read_effects(organization_id: uuid.UUID, key: str) -> Iterator[Effect]:
    """Yield the builds that bear the key: its own, or those of its batch."""
    hashes = [str(hash_key(key)), *(hash_place(key, index) for index in range(PLACES))]
    mine = Build.objects.for_organization(organization_id)
    found = mine.filter(idempotency_key_hash__in=hashes)
    for build in found.only("id", "queued_at"):
        yield Effect("build", public_id("build", build.id), build.queued_at)
