"""The states of a build and the table of allowed moves (pure data)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class BuildState(StrEnum):
    """Where a build stands. Nothing else may list these."""

    QUEUED = "queued"
    BUILDING = "building"
    DEPLOYED = "deployed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BuildEventName(StrEnum):
    """What can happen to a build; the database's triggers repeat these names (B-08)."""

    CREATED = "build.created"
    STARTED = "build.started"
    TAKEN_OVER = "build.taken_over"
    HOLD_RENEWED = "build.hold_renewed"
    CANCEL_REQUESTED = "build.cancel_requested"
    DEPLOYED = "build.deployed"
    FAILED = "build.failed"
    CANCELLED = "build.cancelled"
    REPLAYED = "build.replayed"


class FetchState(StrEnum):
    """Where a fetch stands; it leaves `queued` once."""

    QUEUED = "queued"
    READY = "ready"
    FAILED = "failed"


# queued -> failed is the one addition to the seed: a build whose job died before it could ever
# start has to end somewhere (B-02). The database repeats this table in its trigger.
MOVES: Final[dict[BuildState, tuple[BuildState, ...]]] = {
    BuildState.QUEUED: (BuildState.BUILDING, BuildState.CANCELLED, BuildState.FAILED),
    BuildState.BUILDING: (BuildState.DEPLOYED, BuildState.FAILED, BuildState.CANCELLED),
    BuildState.DEPLOYED: (),
    BuildState.FAILED: (),
    BuildState.CANCELLED: (),
}

ACTIVE: Final = tuple(state for state, onward in MOVES.items() if onward)
FINAL: Final = tuple(state for state, onward in MOVES.items() if not onward)


def is_final(state: str) -> bool:
    """Whether a build in this state never moves again."""
    return BuildState(state) in FINAL


def valid_next_states(state: str) -> list[str]:
    """Return the states a build in `state` may move to, none for a final one."""
    return [str(onward) for onward in MOVES[BuildState(state)]]
