"""What is asked of a limiter, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from flagship.models.limits import Quota


@dataclass(frozen=True, slots=True)
class Demand:
    """One request of a subject (an address, a key, ...) under the quota of a policy."""

    policy: str
    subject: str
    quota: Quota

    @property
    def name(self) -> str:
        """Name what is counted. Another window counts anew, another number of requests does not."""
        return f"flagship:limit:{self.policy}:{self.quota.window_s}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Level:
    """How a demand stands: `used` of its quota, this request included where it was let through.

    For `wait_s` seconds no more becomes available than is now; whole, at least 1.
    """

    policy: str
    quota: Quota
    used: int
    wait_s: int
    is_exceeded: bool

    @property
    def remaining(self) -> int:
        """Requests that are left."""
        return max(0, self.quota.requests - self.used)
