"""The queues and their retry policies: the one place that names them (W-01, W-02)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jobs.retry import RetryPolicy, exponential, linear, never


@dataclass(frozen=True, slots=True)
class Queue:
    """A named lane of work and what a failure in it costs by default.

    Of a worker's slots, `own_slots` more than the shared ones are kept for this queue, so that
    another that is slow cannot starve it; `slots_max` bounds it in one worker.
    """

    name: str
    retry: RetryPolicy
    purpose: str
    own_slots: int = 2
    slots_max: int | None = None


AUDIT: Final = "flagship:audit"
USAGE: Final = "flagship:usage"
NOTIFICATIONS: Final = "flagship:notifications"
AUTO_ACTIONS: Final = "flagship:auto-actions"
MAINTENANCE: Final = "flagship:maintenance"
BUILDS: Final = "flagship:builds"
CONTENT: Final = "flagship:content"
BILLING: Final = "flagship:billing"

QUEUES: Final[dict[str, Queue]] = {
    queue.name: queue
    for queue in (
        Queue(AUDIT, exponential(5), "audit events"),
        Queue(USAGE, exponential(5), "usage counters"),
        Queue(NOTIFICATIONS, linear(3), "alerts to people"),
        Queue(AUTO_ACTIONS, exponential(3), "automated enforcement"),
        Queue(MAINTENANCE, never(), "scheduled tasks and drills"),
        # Each build is a process of its own, with the machine's memory to share.
        Queue(BUILDS, RetryPolicy((1.0, 5.0)), "site builds", slots_max=8),
        Queue(CONTENT, RetryPolicy((60.0, 300.0, 900.0)), "content pipeline"),
        Queue(BILLING, exponential(5), "identity and billing"),
    )
}
