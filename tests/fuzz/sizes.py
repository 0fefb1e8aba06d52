"""How much is tried, and from which seed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from tests.soak import full


@dataclass(frozen=True, slots=True)
class Size:
    """Cases of each part."""

    schema: int
    raw: int
    forgeries: int
    forged_requests: int
    phases: str = "examples,coverage,fuzzing,stateful"


SIZES: Final = {
    # The phase of coverage alone makes 2,700 cases, whatever is asked for.
    "suite": Size(200, 1_000, 20_000, 300, phases="examples,fuzzing,stateful"),
    "tenth": Size(schema=2_000, raw=5_000, forgeries=100_000, forged_requests=1_000),
    "full": Size(schema=20_000, raw=50_000, forgeries=1_000_000, forged_requests=10_000),
}
SEED: Final = int(os.environ.get("SEED") or "20260101")
SIZE_NAME: Final = os.environ.get("FLAGSHIP_FUZZ") or full("suite", "full")
SIZE: Final = SIZES[SIZE_NAME]
