"""What one project's builds must do, in plain Python, apart from the code under test.

Slots, states, prices and the credits behind them; no queue, no clock, no transactions.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from tests.histories.ledger_model import Refused

MEBIBYTE = 1024 * 1024
# What is held for the one source there is (5,000 bytes), by builder, as long as little is known.
ESTIMATES = {"static": 3, "mkdocs": 7}


def price(duration_s: float, size_bytes: int) -> int:
    """1, and 1 for each started 10 s and for each started MiB."""
    return 1 + -int(-duration_s // 10) + -(-size_bytes // MEBIBYTE)


@dataclass(slots=True)
class BuildModel:
    """A build. `job` is waiting, running, lost or how it ended; the id is the system's."""

    builder: str
    slot: int | None
    estimate: int
    rebuild_of: BuildModel | None = None
    superseded_by: BuildModel | None = None
    state: str = "queued"
    job: str = "waiting"
    charged: int | None = None
    is_cancel_asked: bool = False
    events: list[str] = field(default_factory=lambda: ["build.created"])
    id: uuid.UUID | None = None

    @property
    def is_active(self) -> bool:
        """Has it not ended?"""
        return self.state in ("queued", "building")


@dataclass(slots=True)
class ProjectModel:
    """One project and its organization's credits."""

    balance: int = 0
    reserved: int = 0
    max_active: int = 1
    newest_wins: bool = False
    live: BuildModel | None = None
    builds: list[BuildModel] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    @property
    def free(self) -> int:
        """What is neither held nor spent."""
        return self.balance - self.reserved

    def active(self) -> list[BuildModel]:
        """Return the builds that have not ended."""
        return [build for build in self.builds if build.is_active]

    def grant(self, amount: int) -> None:
        """Give credits."""
        self.balance += amount

    def estimate(self, builder: str) -> int:
        """Return what is held: the lower median of what the last 20 like it were charged."""
        charged = [
            build.charged
            for build in reversed(self.builds)
            if build.builder == builder and build.state == "deployed" and build.charged is not None
        ][:20]
        if len(charged) < 3:
            return ESTIMATES[builder]
        return sorted(charged)[(len(charged) - 1) // 2]

    def submit(self, builder: str, key: str = "") -> BuildModel:
        """Accept a build: a key is good for one, a slot must be free, and the credits there."""
        if key and key in self.keys:
            raise Refused("IDEMPOTENCY_KEY_EXPIRED")
        waiting, slots = self._room(1)
        estimate = self.estimate(builder)
        free = self.free + sum(build.estimate for build in waiting)
        if free < estimate:
            raise Refused("INSUFFICIENT_CREDITS", required=estimate, available=free)
        if key:
            self.keys.add(key)
        return self._accept(waiting, slots, builder)[0]

    def batch(self, count: int) -> list[BuildModel]:
        """Accept so many static builds, or none of them."""
        if count > self.max_active:
            raise Refused("BATCH_EXCEEDS_MAX_ACTIVE", asked=count, maxActive=self.max_active)
        waiting, slots = self._room(count)
        total = count * self.estimate("static")
        if self.free + sum(build.estimate for build in waiting) < total:
            # It is told as things are, before the older ones would have made room.
            raise Refused("INSUFFICIENT_CREDITS", required=total, available=self.free)
        return self._accept(waiting, slots, "static")

    def rebuild(self, original: BuildModel) -> BuildModel:
        """Do an ended build again."""
        if original.is_active:
            raise Refused("BUILD_STILL_ACTIVE")
        build = self.submit(original.builder)
        build.rebuild_of = original
        return build

    def start(self, build: BuildModel) -> bool:
        """Let a worker take the build, or take it over; False where there is nothing to take."""
        if build.job not in ("waiting", "lost"):
            return False
        build.events.append("build.started" if build.state == "queued" else "build.taken_over")
        build.state, build.job = "building", "running"
        return True

    def lose(self, build: BuildModel) -> None:
        """The worker is gone; the job waits again."""
        build.job = "lost"

    def deploy(self, build: BuildModel, price_credits: int) -> int:
        """Charge and publish, unless a later one is live. Returns the charge."""
        self._refuse_ended(build)
        available = self.free + build.estimate
        if available < price_credits:
            raise Refused("INSUFFICIENT_CREDITS", required=price_credits, available=available)
        self.balance -= price_credits
        build.charged = price_credits
        self._end(build, "deployed", "succeeded")
        if self.live is None or self.builds.index(self.live) < self.builds.index(build):
            self.live = build
        return price_credits

    def fail(self, build: BuildModel, job: str) -> None:
        """End it without a charge; `job` is how its job ends."""
        self._refuse_ended(build)
        self._end(build, "failed", job)

    def die(self, build: BuildModel) -> None:
        """Its job dies, or is cancelled where that was asked for."""
        if build.is_cancel_asked:
            self._end(build, "cancelled", "cancelled")
        else:
            self._end(build, "failed", "dead")

    def cancel(self, build: BuildModel) -> str:
        """Cancel at once where nothing runs, else ask. Returns the state then."""
        self._refuse_ended(build)
        if build.state == "building" and not build.is_cancel_asked:
            build.is_cancel_asked = True
            build.events.append("build.cancel_requested")
        if build.job != "running":
            self._end(build, "cancelled", "cancelled")
        return build.state

    def confirm(self, build: BuildModel) -> None:
        """The worker has stopped because it was asked to."""
        self._end(build, "cancelled", "cancelled")

    def limit(self, max_active: int) -> None:
        """Change how many may be active; no active build loses its slot."""
        if any((build.slot or 0) >= max_active for build in self.active()):
            raise Refused("PROJECT_MAX_ACTIVE_IN_USE", maxActive=max_active)
        self.max_active = max_active

    def _room(self, count: int) -> tuple[list[BuildModel], list[int]]:
        """Return the builds that would make way, and the slots that are free then."""
        active = self.active()
        waiting = [build for build in active if self.newest_wins and build.state == "queued"]
        taken = {build.slot for build in active if build not in waiting}
        free = [slot for slot in range(self.max_active) if slot not in taken]
        if len(free) < count:
            raise Refused("BUILD_ALREADY_RUNNING")
        return waiting, free[:count]

    def _accept(
        self, waiting: list[BuildModel], slots: list[int], builder: str
    ) -> list[BuildModel]:
        estimate = self.estimate(builder)
        made = [BuildModel(builder, slot, estimate) for slot in slots]
        for build in waiting:
            build.superseded_by = made[0]
            self._end(build, "cancelled", "cancelled")
        self.builds += made
        self.reserved += sum(build.estimate for build in made)
        return made

    def _refuse_ended(self, build: BuildModel) -> None:
        if not build.is_active:
            raise Refused("INVALID_STATE_TRANSITION")

    def _end(self, build: BuildModel, state: str, job: str) -> None:
        self.reserved -= build.estimate
        build.state, build.job, build.slot = state, job, None
        build.events.append(f"build.{state}")
