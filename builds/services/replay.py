"""Replay a build's events from a given one on: what is missing is done, nothing twice (B-08).

A replay walks the events and asks of each effect whether it is there. What has happened is
skipped, what is missing and free of charge is done, and money is never taken: a build that was
deployed without a charge is left to an operator. Every event is announced again to those who
watch, marked as a replay.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from django.db import transaction
from django.db.models import Max

from builds.errors import ReplayDryRunRequired, ReplayPlanChanged
from builds.models import Build, BuildEvent, Project
from builds.services.holds import give_back
from builds.services.moves import lock_build, publish_site, record
from builds.states import BuildEventName
from credits.models import Reservation
from credits.states import ReservationState
from flagship.errors.requests import ValidationFailed
from jobs import telemetry
from jobs.ids import public_id

MAX_EVENTS: Final = 200
NAME: Final = BuildEventName


class Effect(StrEnum):
    """What an event has caused."""

    ANNOUNCE = "announce"
    HOLD_CREDITS = "hold_credits"
    CHARGE_CREDITS = "charge_credits"
    RELEASE_CREDITS = "release_credits"
    ENQUEUE_JOB = "enqueue_job"
    RUN = "run"
    PUBLISH_SITE = "publish_site"


class Outcome(StrEnum):
    """What a replay does with an effect; `planned` is what a dry run says for `done`."""

    PLANNED = "planned"
    DONE = "done"
    SKIPPED = "skipped"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Step:
    """One effect of one event."""

    effect: Effect
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class ReplayedEvent:
    """One event with its effects."""

    event: BuildEvent
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did, or would do. `plan_digest` stands for exactly this plan."""

    build_id: uuid.UUID
    state: str
    is_dry_run: bool
    from_seq: int
    last_seq: int
    plan_digest: str
    items: tuple[ReplayedEvent, ...]
    charged_credits: int = 0

    @property
    def done_count(self) -> int:
        """Effects that were done; of a dry run those that would be."""
        return self._count(Outcome.PLANNED) + self._count(Outcome.DONE)

    @property
    def skipped_count(self) -> int:
        """Effects that had already happened."""
        return self._count(Outcome.SKIPPED)

    @property
    def left_count(self) -> int:
        """Effects that are missing and that a replay does not do."""
        return self._count(Outcome.LEFT)

    def _count(self, outcome: Outcome) -> int:
        return sum(step.outcome is outcome for item in self.items for step in item.steps)


def replay_build(
    *,
    organization_id: uuid.UUID,
    build_id: uuid.UUID,
    actor: str,
    from_seq: int = 1,
    dry_run: bool = True,
    plan_digest: str = "",
) -> Replay:
    """Replay the events from `from_seq` on, or say what that would do.

    A replay for real needs the digest of its dry run and does that very plan or nothing. It is an
    event itself, so that its digest is good for one replay. At most MAX_EVENTS at a time.

    Raises: BuildNotFound; ValidationFailed where there is no such event; ReplayDryRunRequired;
    ReplayPlanChanged. Nothing has changed then. Source: B-08.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id, organization_id=organization_id)
        plan = _plan(build, from_seq)
        if dry_run:
            return plan
        if not plan_digest:
            raise ReplayDryRunRequired
        if plan_digest != plan.plan_digest:
            raise ReplayPlanChanged(
                data={
                    "planDigest": plan.plan_digest,
                    "state": build.state,
                    "lastSeq": plan.last_seq,
                }
            )
        return _carry_out(plan, build, actor)


def _plan(build: Build, from_seq: int) -> Replay:
    """Look at each event's effects as things are now; the project's row is locked."""
    events = list(
        BuildEvent.objects.filter(build_id=build.id, seq__gte=from_seq).order_by("seq")[:MAX_EVENTS]
    )
    if not events:
        raise ValidationFailed({"fromSeq": ["The build has no event of this number yet."]})
    items = tuple(ReplayedEvent(event, tuple(_steps(build, event))) for event in events)
    told = [
        [item.event.seq, item.event.name, [[*map(str, (s.effect, s.outcome))] for s in item.steps]]
        for item in items
    ]
    # The newest of all, since a replay that is cut off at MAX_EVENTS adds one behind them.
    newest = BuildEvent.objects.filter(build_id=build.id).aggregate(seq=Max("seq"))["seq"]
    text = json.dumps([build.id.hex, build.state, from_seq, newest, told])
    return Replay(
        build_id=build.id,
        state=build.state,
        is_dry_run=True,
        from_seq=from_seq,
        last_seq=events[-1].seq,
        plan_digest=hashlib.sha256(text.encode()).hexdigest(),
        items=items,
    )


def _steps(build: Build, event: BuildEvent) -> list[Step]:
    """Return the effects of an event; those of the past are told, not repeated."""
    if event.name == NAME.REPLAYED:
        return [_skip(Effect.ANNOUNCE, "a replay is not replayed")]
    announce = Step(Effect.ANNOUNCE, Outcome.PLANNED, "told again to those who watch, as a replay")
    effects = _EFFECTS.get(NAME(event.name))
    return [announce, *(effects(build, event) if effects else [])]


def _of_creation(build: Build, event: BuildEvent) -> list[Step]:
    return [
        _skip(Effect.HOLD_CREDITS, f"{event.data.get('reservationId', 'they')} held them"),
        _skip(Effect.ENQUEUE_JOB, f"{event.data.get('jobId', 'the job')} was enqueued"),
    ]


def _of_renewal(build: Build, event: BuildEvent) -> list[Step]:
    return [_skip(Effect.HOLD_CREDITS, f"{event.data.get('reservationId', 'they')} held them")]


def _of_run(build: Build, event: BuildEvent) -> list[Step]:
    return [_skip(Effect.RUN, "it ran; POST /v1/builds/{id}/rebuild runs it anew")]


def _of_deployment(build: Build, event: BuildEvent) -> list[Step]:
    return [_charge(build), _publish(build)]


def _of_a_bad_end(build: Build, event: BuildEvent) -> list[Step]:
    hold = _hold_of(build)
    if hold.state == ReservationState.HELD:
        told = f"{hold.amount} credits are still held and go back"
        return [Step(Effect.RELEASE_CREDITS, Outcome.PLANNED, told)]
    return [_skip(Effect.RELEASE_CREDITS, f"the reservation is {hold.state}")]


def _charge(build: Build) -> Step:
    """Say whether the build was charged; where it was not, a replay is no place to do it."""
    hold = _hold_of(build)
    if hold.state == ReservationState.COMMITTED:
        return _skip(Effect.CHARGE_CREDITS, f"{build.charged_credits} credits were charged")
    told = f"the reservation is {hold.state}: an operator has to look at it"
    return Step(Effect.CHARGE_CREDITS, Outcome.LEFT, told)


def _publish(build: Build) -> Step:
    live = Project.objects.values_list("live_build_id", flat=True).get(id=build.project_id)
    if live == build.id:
        return _skip(Effect.PUBLISH_SITE, "it is the live build")
    if live is not None and live > build.id:
        return _skip(Effect.PUBLISH_SITE, f"{public_id('build', live)} is newer and live")
    return Step(Effect.PUBLISH_SITE, Outcome.PLANNED, "it becomes the live build")


def _hold_of(build: Build) -> Reservation:
    return Reservation.objects.get(id=build.reservation_id)


def _skip(effect: Effect, reason: str) -> Step:
    return Step(effect, Outcome.SKIPPED, reason)


_EFFECTS: Final[dict[BuildEventName, Callable[[Build, BuildEvent], list[Step]]]] = {
    NAME.CREATED: _of_creation,
    NAME.HOLD_RENEWED: _of_renewal,
    NAME.STARTED: _of_run,
    NAME.TAKEN_OVER: _of_run,
    NAME.DEPLOYED: _of_deployment,
    NAME.FAILED: _of_a_bad_end,
    NAME.CANCELLED: _of_a_bad_end,
}


def _carry_out(plan: Replay, build: Build, actor: str) -> Replay:
    """Do what is planned, and write down that it was done."""
    items = []
    for item in plan.items:
        steps = []
        for step in item.steps:
            if step.outcome is Outcome.PLANNED:
                _do(step.effect, build, item.event, actor)
                step = replace(step, outcome=Outcome.DONE)
            steps.append(step)
        items.append(ReplayedEvent(item.event, tuple(steps)))
    done = replace(plan, is_dry_run=False, items=tuple(items))
    told = {
        "fromSeq": done.from_seq,
        "lastSeq": done.last_seq,
        "done": done.done_count,
        "skipped": done.skipped_count,
        "left": done.left_count,
    }
    record("build.replayed", build, actor, **told)
    BuildEvent.objects.create(build=build, name=NAME.REPLAYED.value, actor=actor, data=told)
    return done


def _do(effect: Effect, build: Build, event: BuildEvent, actor: str) -> None:
    match effect:
        case Effect.RELEASE_CREDITS:
            give_back(build, reason="build_replayed", actor=actor)
        case Effect.PUBLISH_SITE:
            publish_site(build)
        case _:
            telemetry.publish(
                event.name,
                organization_id=build.organization_id,
                build_id=public_id("build", build.id),
                project_id=public_id("proj", build.project_id),
                is_replay=True,
                seq=event.seq,
                happened_at=event.at.isoformat(),
                actor=event.actor,
            )
