"""What a client's stage makes of its proofs (E-05, P23)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flagship.signatures.verify import Proof


class Stage(StrEnum):
    """How far a client's move from v1 to v2 has come; v1 is its API key or a v1 signature."""

    OBSERVE = "observe"
    EITHER = "either"
    BOTH = "both"
    V2_ONLY = "v2_only"


class Outcome(StrEnum):
    """What is counted of a request: how it was proven, or what was wrong with it."""

    V1_ONLY = "v1_only"
    V2_ONLY = "v2_only"
    BOTH = "both"
    MISMATCH = "mismatch"
    FORGED = "forged"
    STALE = "stale"
    REPLAY = "replay"
    DOWNGRADE = "downgrade"


PROVEN = (Outcome.V1_ONLY, Outcome.V2_ONLY, Outcome.BOTH)


class Answer(StrEnum):
    """What the client is told."""

    WELCOME = "welcome"
    UNAUTHENTICATED = "unauthenticated"
    INVALID = "invalid"
    STALE = "stale"
    RETIRED = "retired"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and what is counted; None where nothing is known about whose request it was."""

    answer: Answer
    outcome: Outcome | None


def decide(
    stage: Stage, *, v1: Proof, v2: Proof, reason: str = "", is_pinned: bool = False
) -> Decision:
    """Decide about a request of a client that signs.

    While a stage only observes, v1 alone decides. From `either` on everything that is presented
    must hold, so that no part of v2, however broken, is ever answered by looking at v1.
    `is_pinned`: a client that has used nothing but v2 for long may not go back by itself.
    """
    if stage is Stage.OBSERVE:
        return _observed(v1, v2, reason)
    if Proof.INVALID in (v1, v2):
        return _failed(v1, v2, reason)
    if v2 is Proof.ABSENT:
        return _without_v2(stage, v1, is_pinned)
    if v1 is Proof.VALID:
        return Decision(Answer.WELCOME, Outcome.BOTH)
    if stage is Stage.BOTH:
        return Decision(Answer.INCOMPLETE, Outcome.MISMATCH)
    return Decision(Answer.WELCOME, Outcome.V2_ONLY)


def _observed(v1: Proof, v2: Proof, reason: str) -> Decision:
    """v1 decides; v2 is checked and counted."""
    if v1 is Proof.VALID:
        seen = {Proof.ABSENT: Outcome.V1_ONLY, Proof.VALID: Outcome.BOTH}
        return Decision(Answer.WELCOME, seen.get(v2, Outcome.MISMATCH))
    if v1 is Proof.ABSENT and v2 is Proof.VALID:
        return Decision(Answer.INCOMPLETE, Outcome.MISMATCH)
    return _failed(v1, v2, reason)


def _failed(v1: Proof, v2: Proof, reason: str) -> Decision:
    """Something that was presented does not hold; a mismatch where the other version does."""
    if v2 is Proof.ABSENT and not reason:
        return Decision(Answer.UNAUTHENTICATED, None)
    answer = Answer.STALE if reason == "stale" else Answer.INVALID
    if Proof.VALID in (v1, v2):
        return Decision(answer, Outcome.MISMATCH)
    return Decision(answer, Outcome.STALE if reason == "stale" else Outcome.FORGED)


def _without_v2(stage: Stage, v1: Proof, is_pinned: bool) -> Decision:
    """v1 alone."""
    if v1 is Proof.ABSENT:
        return Decision(Answer.UNAUTHENTICATED, None)
    if stage is Stage.EITHER and not is_pinned:
        return Decision(Answer.WELCOME, Outcome.V1_ONLY)
    return Decision(Answer.RETIRED, Outcome.DOWNGRADE)
