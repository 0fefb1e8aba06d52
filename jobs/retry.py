"""When a failed job runs again (pure)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between the runs of a job: as many retries as waits.

    Units: seconds. An empty tuple means the first failure is final. The list is copied into the
    job's row when it is enqueued, so a changed policy never changes work already accepted.
    """

    backoff_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(wait < 0 for wait in self.backoff_s):
            raise ValueError("a wait cannot be negative")

    @property
    def max_attempts(self) -> int:
        """Runs at most, the first included: "5 retries" are 6 runs (W-02)."""
        return len(self.backoff_s) + 1


def exponential(retries: int, base_s: float = 1.0, factor: float = 2.0) -> RetryPolicy:
    """Waits of `base_s`, `base_s * factor`, `base_s * factor**2`, ... seconds."""
    return RetryPolicy(tuple(base_s * factor**n for n in range(retries)))


def linear(retries: int, step_s: float = 5.0) -> RetryPolicy:
    """Waits of one, two, three ... times `step_s` seconds."""
    return RetryPolicy(tuple(step_s * n for n in range(1, retries + 1)))


def never() -> RetryPolicy:
    """No second run."""
    return RetryPolicy()
