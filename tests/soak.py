"""How much is tried: a size for every run, ten times that or the complete one in `make soak`."""

from __future__ import annotations

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)
Size = TypeVar("Size")
TIMES = 10


def soaked(usual: Number) -> Number:
    """Return the rounds or seconds of this run; `make soak` sets FLAGSHIP_SOAK."""
    return usual * TIMES if os.environ.get("FLAGSHIP_SOAK") else usual


def full(usual: Size, complete: Size) -> Size:
    """Return the size of a proof: the complete one in `make soak`, else that of every run."""
    return complete if os.environ.get("FLAGSHIP_SOAK") else usual
