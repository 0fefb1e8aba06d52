"""How fast a redrive may go (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

DEBT_S: Final = 60.0
"""What was missed, while a worker was away, is caught up for so long at most ..."""
CATCH_UP: Final = 1.04
"""... and never faster than this times the rate, so that a return is no flood."""
SPREAD_S: Final = 1.0
"""What falls due within so long may be answered at once."""
RAMP_FROM: Final = 0.1
"""A ramp begins at this part of the rate."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When the next letter is due, and before when it may not go however late it is.

    Both are stored with the letters that they were counted for, and nothing else has to be: so
    the rate holds over any number of workers and restarts.
    """

    due_at: datetime
    free_at: datetime

    def allowed(self, now: datetime, *, rate_per_s: float, most: int) -> int:
        """Return how many letters may be answered now, `most` at most."""
        due, free = self._since(now)
        late_s, free_s = (now - due).total_seconds(), (now - free).total_seconds()
        if late_s < 0 or free_s < 0:
            return 0
        return min(most, 1 + int(late_s * rate_per_s), 1 + int(free_s * rate_per_s * CATCH_UP))

    def after(self, answered: int, now: datetime, *, rate_per_s: float) -> Pace:
        """Return the pace when so many have been answered now."""
        due, free = self._since(now)
        step_s = answered / rate_per_s
        return Pace(due + timedelta(seconds=step_s), free + timedelta(seconds=step_s / CATCH_UP))

    def wait_s(self, now: datetime) -> float:
        """Return the seconds until the next one may be answered; never negative."""
        return max(0.0, (max(self.due_at, self.free_at) - now).total_seconds())

    def _since(self, now: datetime) -> tuple[datetime, datetime]:
        """Forget what is longer ago than what is caught up."""
        return (
            max(self.due_at, now - timedelta(seconds=DEBT_S)),
            max(self.free_at, now - timedelta(seconds=SPREAD_S)),
        )


def rate_at(elapsed_s: float, *, rate_per_s: float, ramp_s: float) -> float:
    """Return the letters a second at this time of a ramp, which rises in a straight line."""
    if elapsed_s >= ramp_s:
        return rate_per_s
    return rate_per_s * max(RAMP_FROM, elapsed_s / ramp_s)
