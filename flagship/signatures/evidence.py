"""When a client may go on to the next stage, and how it goes back (E-05)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flagship.signatures.stages import PROVEN, Outcome, Stage

LEAST_REQUESTS: Final = 100
LONG_ENOUGH: Final = timedelta(days=1)
FEW: Final = 0.001
PINNED_AFTER: Final = timedelta(days=7)

NEXT: Final = {
    Stage.OBSERVE: (Stage.EITHER,),
    Stage.EITHER: (Stage.BOTH, Stage.V2_ONLY),
    Stage.BOTH: (Stage.V2_ONLY,),
    Stage.V2_ONLY: (),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A client's last day: requests by outcome."""

    counts: Mapping[Outcome, int]

    @property
    def requests(self) -> int:
        """Requests that were let in as proven."""
        return sum(self.of(outcome) for outcome in PROVEN)

    def of(self, outcome: Outcome) -> int:
        """Return the requests with this outcome."""
        return self.counts.get(outcome, 0)

    def share(self, outcome: Outcome) -> float:
        """Return an outcome's share, of proven requests and mismatches together."""
        whole = self.requests + self.of(Outcome.MISMATCH)
        return self.of(outcome) / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that could be next; `missing` says what speaks against it, in words."""

    to: Stage
    missing: tuple[str, ...]

    @property
    def is_offered(self) -> bool:
        """Tell whether the evidence holds."""
        return not self.missing


def next_steps(
    stage: Stage, *, stage_since: datetime, evidence: Evidence, now: datetime
) -> list[Step]:
    """Return the stages that could follow, each with what is missing for it."""
    common: list[str] = []
    if now - stage_since < LONG_ENOUGH:
        common.append("the stage has lasted less than a day")
    if evidence.requests < LEAST_REQUESTS:
        common.append(f"fewer than {LEAST_REQUESTS} requests in the last day")
    for outcome in (Outcome.MISMATCH, Outcome.REPLAY):
        if evidence.of(outcome):
            common.append(f"{outcome} in the last day: {evidence.of(outcome)}")
    return [Step(to, (*common, *_against(to, evidence))) for to in NEXT[stage]]


def _against(to: Stage, evidence: Evidence) -> list[str]:
    """Say which requests the stage would refuse."""
    if to is Stage.EITHER:
        seen = evidence.of(Outcome.BOTH)
        return [] if seen >= LEAST_REQUESTS else [f"fewer than {LEAST_REQUESTS} good v2 signatures"]
    refused = [Outcome.V1_ONLY, *([Outcome.V2_ONLY] if to is Stage.BOTH else [])]
    return [
        f"{evidence.share(outcome) * 100:.1f} % of requests are {outcome.replace('_', ' ')}"
        for outcome in refused
        if evidence.share(outcome) > FEW
    ]


def stage_before(stage: Stage, came_from: Stage | None) -> Stage | None:
    """Return where one step back leads: to where the client came from, and never to a wall."""
    if stage is Stage.V2_ONLY:
        return came_from if came_from in (Stage.EITHER, Stage.BOTH) else Stage.EITHER
    return {Stage.BOTH: Stage.EITHER, Stage.EITHER: Stage.OBSERVE}.get(stage)


def is_pinned(*, v2_since: datetime | None, v1_alone_at: datetime | None, now: datetime) -> bool:
    """Tell whether a client has used v2 and nothing else for a week."""
    week_ago = now - PINNED_AFTER
    has_long_been = v2_since is not None and v2_since <= week_ago
    return has_long_been and (v1_alone_at is None or v1_alone_at <= week_ago)
