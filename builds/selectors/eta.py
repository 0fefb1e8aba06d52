"""When a busy project will have room again, and how far to trust that (B-04)."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import QuerySet

from builds.models import Build
from builds.states import BuildState

RECENT_BUILDS: Final = 20
DEFAULT_DURATION_S: Final = 30.0
# Of what it has taken so far; a build that outlasts all before it gives nothing better to go by.
OVERDUE_SHARE: Final = 0.1
SURE_SAMPLES: Final = 10
FEWEST_SAMPLES: Final = 3
# Of the median: a narrower middle half is a sure sign, a wider one is none.
SURE_SPREAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Eta:
    """A forecast and what it rests on. Units: seconds from now, 1 at least.

    `basis` is whose builds were looked at: the project's own latest, the organization's, or none
    (`default`). Half of the comparable builds ended between `earliest_s` and `latest_s`.
    """

    seconds: int
    earliest_s: int
    latest_s: int
    median_s: int
    basis: str
    sample_count: int
    confidence: str

    def as_data(self) -> dict[str, Any]:
        """Return what the wire says beside the seconds."""
        return {
            "basis": self.basis,
            "confidence": self.confidence,
            "sampleCount": self.sample_count,
            "medianSeconds": self.median_s,
            "earliestSeconds": self.earliest_s,
            "latestSeconds": self.latest_s,
        }


def estimate_wait(*, organization_id: uuid.UUID, project_id: uuid.UUID, active: list[Build]) -> Eta:
    """Return when the first of a project's active builds is expected to end.

    From the median of its latest deployed builds. Where it has none, from those of the
    organization's other projects: never from those of strangers. Source: B-04.
    """
    mine = Build.objects.for_organization(organization_id)
    basis, durations = "project", _durations(mine.filter(project_id=project_id))
    if not durations:
        basis, durations = "organization", _durations(mine)
    if not durations:
        basis, durations = "default", [DEFAULT_DURATION_S]
    now = datetime.now(UTC)
    spent = [(now - (build.started_at or now)).total_seconds() for build in active]
    return foresee(basis, durations, spent or [0.0])


def foresee(basis: str, durations: Sequence[float], spent: Sequence[float]) -> Eta:
    """Return the forecast for builds that have been at it for `spent` (pure).

    What is left of a build is told by those builds only that took longer than it has so far.
    """
    each = [_left(durations, spent_s) for spent_s in spent]
    left, is_overdue = min(each, key=lambda found: statistics.median(found[0]))
    low, high = _middle_half(left)
    return Eta(
        seconds=_whole(statistics.median(left)),
        earliest_s=_whole(low),
        latest_s=_whole(high),
        median_s=_whole(statistics.median(durations)),
        basis=basis,
        sample_count=0 if basis == "default" else len(durations),
        confidence="low" if is_overdue else _confidence(basis, durations),
    )


def _left(durations: Sequence[float], spent_s: float) -> tuple[list[float], bool]:
    """Return how much longer comparable builds took, and whether there are none."""
    longer = [duration_s - spent_s for duration_s in durations if duration_s > spent_s]
    return (longer, False) if longer else ([spent_s * OVERDUE_SHARE], True)


def _confidence(basis: str, durations: Sequence[float]) -> str:
    """Say how sure: by whose builds, by how many, and by how far they lie apart."""
    if basis != "project" or len(durations) < FEWEST_SAMPLES:
        return "low"
    low, high = _middle_half(durations)
    is_narrow = high - low <= SURE_SPREAD * statistics.median(durations)
    return "high" if is_narrow and len(durations) >= SURE_SAMPLES else "medium"


def _middle_half(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _durations(builds: QuerySet[Build]) -> list[float]:
    """Return how long the latest deployed ones took, in seconds."""
    spans = (
        builds.filter(state=BuildState.DEPLOYED.value)
        .order_by("-id")
        .values_list("started_at", "finished_at")[:RECENT_BUILDS]
    )
    return [(end - start).total_seconds() for start, end in spans if start and end]


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
