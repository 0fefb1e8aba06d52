"""From a client's secret to a signature."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SECRET_BYTES: Final = 32


def derive_key(secret: bytes, *, version: str, key_id: str) -> bytes:
    """Return the key of one version: HKDF-SHA256 (RFC 5869), no salt, info = version + key id.

    Each version and each key has one of its own: a signature of v1 is never one of v2.
    """
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, f"{version}{key_id}".encode() + b"\x01", hashlib.sha256)


def sign(canonical: bytes, *, secret: bytes, version: str, key_id: str) -> bytes:
    """Return the 32 bytes of a signature."""
    key = derive_key(secret, version=version, key_id=key_id)
    return hmac.digest(key, canonical, hashlib.sha256)
