"""How long a race or a fault is tried: a size for every run, ten times that in `make soak`."""

from __future__ import annotations

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)
TIMES = 10


def soaked(usual: Number) -> Number:
    """Return the rounds or seconds of this run; `make soak` sets FLAGSHIP_SOAK."""
    return usual * TIMES if os.environ.get("FLAGSHIP_SOAK") else usual
