"""Whether a signature holds (P22)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flagship.signatures.canonical import (
    Malformed,
    Presented,
    canonical_string,
    check_shapes,
    read_signatures,
)
from flagship.signatures.keys import SECRET_BYTES, sign

WINDOW_S: Final = 300
# A request stamped 300 s ahead is good for 600 s; the minute is for clocks that differ.
NONCE_LIFE_S: Final = 2 * WINDOW_S + 60
_NOBODYS_SECRET: Final = bytes(SECRET_BYTES)


class Proof(StrEnum):
    """What became of one version of the proof."""

    ABSENT = "absent"
    VALID = "valid"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Examined:
    """Both versions, and why an invalid one is: `malformed`, `stale` or `wrong`."""

    v1: Proof = Proof.ABSENT
    v2: Proof = Proof.ABSENT
    reason: str = ""


def examine(presented: Presented, *, secret: bytes | None, now_s: int) -> Examined:
    """Check the signatures of a request by its head alone; the body is `body_holds`'.

    `secret` is None for a key that is not known or no longer good: the work is the same, the
    answer is no. Units: `now_s` in Unix seconds. Raises nothing.

    Source: E-05, P22; the order of checks is that of docs/signatures.md.
    """
    try:
        signatures = read_signatures(presented)
    except Malformed:
        # Something is there and cannot be read: it may have been v2, so v2 has failed.
        return Examined(v2=Proof.INVALID, reason="malformed") if presented.is_signed else Examined()
    try:
        check_shapes(presented)
    except Malformed:
        return _all_invalid(signatures, "malformed")
    if abs(int(presented.timestamp) - now_s) > WINDOW_S:
        return _all_invalid(signatures, "stale")
    try:
        proofs = {
            version: _check(presented, version, value, secret)
            for version, value in signatures.items()
        }
    except Malformed:
        return _all_invalid(signatures, "malformed")
    reason = "wrong" if Proof.INVALID in proofs.values() else ""
    return Examined(proofs.get("v1", Proof.ABSENT), proofs.get("v2", Proof.ABSENT), reason)


def body_holds(presented: Presented, body_sha256: str) -> bool:
    """Tell whether the body is the one whose digest was signed."""
    return hmac.compare_digest(presented.content_sha256.encode(), body_sha256.encode())


def _check(presented: Presented, version: str, value: str, secret: bytes | None) -> Proof:
    """Compare one signature in constant time."""
    wanted = sign(
        canonical_string(presented, version=version),
        secret=secret or _NOBODYS_SECRET,
        version=version,
        key_id=presented.key_id,
    )
    holds = hmac.compare_digest(wanted, bytes.fromhex(value))
    return Proof.VALID if holds and secret is not None else Proof.INVALID


def _all_invalid(signatures: dict[str, str], reason: str) -> Examined:
    """Fail every version that was presented."""
    failed = {version: Proof.INVALID for version in signatures}
    return Examined(failed.get("v1", Proof.ABSENT), failed.get("v2", Proof.ABSENT), reason)
