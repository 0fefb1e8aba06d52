"""Signatures of requests, pure: what is signed, whether it holds, what a stage makes of it (E-05).

Nothing here reads a clock, a row or a socket, so that all of it can be fuzzed. The rules are in
docs/signatures.md.
"""

from __future__ import annotations

from flagship.signatures.canonical import Malformed, Presented, canonical_string
from flagship.signatures.keys import SECRET_BYTES, derive_key, sign
from flagship.signatures.stages import Decision, Outcome, Stage, decide
from flagship.signatures.verify import (
    NONCE_LIFE_S,
    WINDOW_S,
    Examined,
    Proof,
    body_holds,
    examine,
)

__all__ = [
    "NONCE_LIFE_S",
    "SECRET_BYTES",
    "WINDOW_S",
    "Decision",
    "Examined",
    "Malformed",
    "Outcome",
    "Presented",
    "Proof",
    "Stage",
    "body_holds",
    "canonical_string",
    "decide",
    "derive_key",
    "examine",
    "sign",
]
