"""What a key has made for good, as the domains above say it: this app knows none of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Effect:
    """A thing that bears the key that made it, also when the answer to that request has gone."""

    subject_type: str
    subject_id: str
    created_at: datetime


EffectReader = Callable[[uuid.UUID, str], Iterable[Effect]]
"""Reads what an organization's key has made."""

_readers: dict[str, tuple[str, EffectReader]] = {}


def register_effects(subject_type: str, *, scope: str, reader: EffectReader) -> None:
    """Let a domain say what a key has made, to callers with `scope`; called once, at start."""
    _readers[subject_type] = (scope, reader)


def find_effects(*, organization_id: uuid.UUID, key: str, scopes: Collection[str]) -> list[Effect]:
    """Return what the key has made, as far as the caller may see it, oldest first."""
    found = [
        effect
        for scope, reader in _readers.values()
        if scope in scopes
        for effect in reader(organization_id, key)
    ]
    return sorted(found, key=lambda effect: effect.created_at)
