"""Which function handles which kind of job, and what runs on a schedule."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from jobs.context import BatchItem, Death, JobContext
from jobs.errors import InvalidPayload, UnknownKind
from jobs.payloads import Payload
from jobs.queues import QUEUES
from jobs.retry import RetryPolicy
from jobs.rhythm import CatchUp, Rhythm
from jobs.states import Shape

P = TypeVar("P", bound=Payload)
Function = Callable[[P, JobContext], dict[str, Any] | None]
BatchFunction = Callable[[Sequence[BatchItem[P]]], None]
OnDead = Callable[[P, Death], None]
OnRequeue = Callable[[P, uuid.UUID], None]
PayloadFactory = Callable[[datetime], Payload]

GRACE_S: Final = 30.0
SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A planned time for which every schedule can make its payload."""


@dataclass(frozen=True, slots=True)
class Handler:
    """Everything the engine knows about a kind; the policy is copied into each job's row."""

    payload: type[Payload]
    function: Callable[..., dict[str, Any] | None]
    queue: str
    timeout_s: float
    retry: RetryPolicy
    on_dead: Callable[[Any, Death], None] | None
    on_requeue: Callable[[Any, uuid.UUID], None] | None
    scope: str | None
    aliases: tuple[str, ...]
    shape: Shape = Shape.STEPWISE
    batch_size: int = 1
    isolated: bool = False

    @property
    def kind(self) -> str:
        """Stable name of the job type."""
        return self.payload.KIND

    def load(self, stored: dict[str, Any]) -> Payload:
        """Read a stored payload with today's class.

        Raises: InvalidPayload, naming the first field that does not fit.
        """
        return self.load_json(json.dumps(stored))

    def load_json(self, stored: str | bytes) -> Payload:
        """Read a stored payload, given as text, with today's class. Raises: InvalidPayload."""
        try:
            return self.payload.model_validate_json(stored)
        except ValidationError as error:
            raise _refuse(self.kind, error) from None


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """One declaration of recurring work: exactly one of `every_s` and `cron` is set."""

    name: str
    payload: Payload | PayloadFactory
    every_s: float | None = None
    cron: str = ""
    timezone: str = "UTC"
    catch_up: CatchUp = CatchUp.ONE
    grace_s: float = GRACE_S

    @property
    def rhythm(self) -> Rhythm:
        """When it is due."""
        return Rhythm(self.every_s, self.cron, self.timezone)

    @property
    def kind(self) -> str:
        """The kind of its jobs; a payload that is made is made once to ask it."""
        return self.payload_for(SOME_TIME).KIND

    def payload_for(self, planned_at: datetime) -> Payload:
        """Return what the run of a planned time (UTC) is given."""
        return self.payload if isinstance(self.payload, Payload) else self.payload(planned_at)


_handlers: Final[dict[str, Handler]] = {}
_names: Final[dict[str, Handler]] = {}
_schedules: Final[dict[str, ScheduledJob]] = {}


def handler(
    payload: type[P],
    *,
    queue: str,
    timeout_s: float,
    shape: Shape = Shape.STEPWISE,
    retry: RetryPolicy | None = None,
    on_dead: OnDead[P] | None = None,
    on_requeue: OnRequeue[P] | None = None,
    scope: str | None = None,
    aliases: tuple[str, ...] = (),
    isolated: bool = False,
) -> Callable[[Function[P]], Function[P]]:
    """Declare the function that handles a kind, one job a call.

    `shape` is stepwise, or transactional for work that is wholly in the database. `on_dead` runs
    in the transaction that buries a job of this kind, before the job's row is locked;
    `on_requeue` in the one that requeues it, where it may raise a Refusal. `scope` offers the
    kind to API clients that hold it. `aliases` are names the kind had before. An `isolated` kind
    runs in a process of its own, which may be killed, or die, alone.

    Raises: ValueError for a kind declared twice, an unknown queue, a timeout that is not
    positive, or a batch: all of them at import, so that no process starts with them.
    """
    if shape is Shape.BATCH:
        raise ValueError(f"{payload.KIND}: batches are declared with batch_handler")
    if isolated and shape is not Shape.STEPWISE:
        raise ValueError(f"{payload.KIND}: only stepwise kinds can be isolated")
    policy = _policy(payload, queue, timeout_s, retry)

    def register(function: Function[P]) -> Function[P]:
        _register(
            Handler(
                payload,
                function,
                queue,
                timeout_s,
                policy,
                on_dead,
                on_requeue,
                scope,
                aliases,
                shape,
                isolated=isolated,
            )
        )
        return function

    return register


def batch_handler(
    payload: type[P],
    *,
    queue: str,
    timeout_s: float,
    size: int,
    retry: RetryPolicy | None = None,
    on_dead: OnDead[P] | None = None,
    on_requeue: OnRequeue[P] | None = None,
    aliases: tuple[str, ...] = (),
) -> Callable[[BatchFunction[P]], BatchFunction[P]]:
    """Declare the function that handles up to `size` jobs of a kind at once.

    It is called inside the transaction that claims and completes the jobs. When it raises,
    everything it wrote is rolled back and the batch is run again in halves, down to the job that
    does not go, so that it alone fails (ADR 0009). The jobs come in no particular order.

    Raises: ValueError as `handler` does, and for a size below two.
    """
    if size < 2:
        raise ValueError(f"{payload.KIND}: a batch has a size of two or more")
    policy = _policy(payload, queue, timeout_s, retry)

    def register(function: BatchFunction[P]) -> BatchFunction[P]:
        _register(
            Handler(
                payload,
                function,
                queue,
                timeout_s,
                policy,
                on_dead,
                on_requeue,
                None,
                aliases,
                Shape.BATCH,
                size,
            )
        )
        return function

    return register


def schedule(
    name: str,
    payload: Payload | PayloadFactory,
    *,
    every_s: float | None = None,
    cron: str = "",
    timezone: str = "UTC",
    catch_up: CatchUp = CatchUp.ONE,
    grace_s: float | None = None,
) -> None:
    """Declare recurring work, in an app's `schedules` module (docs/schedules.md).

    `payload` is the same for every run, or a pure function of the planned time (UTC), called once
    for each run: of a run that is late it gets the time that was planned. `cron` is read on the
    wall clock of `timezone`. A period is missed when nobody ran it for `grace_s` seconds (default:
    30, or half of a shorter period); `catch_up` says what then: one run for all that were missed,
    a run for each, or none.

    Raises: ValueError for a name declared twice, without exactly one of `every_s` and `cron`, and
    for a cron expression, time zone or grace that makes no sense: all of them at import.
    """
    if name in _schedules or not 0 < len(name) <= 100:
        raise ValueError(f"the schedule {name} is declared twice, or its name is no name")
    if grace_s is None:
        grace_s = GRACE_S if every_s is None else min(GRACE_S, every_s / 2)
    elif not 0 <= grace_s < float("inf"):
        raise ValueError(f"{name}: grace_s must not be negative")
    try:
        Rhythm(every_s, cron, timezone)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    _schedules[name] = ScheduledJob(name, payload, every_s, cron, timezone, catch_up, grace_s)


def get_handler(kind: str) -> Handler:
    """Return the handler of a kind or of one of its former names.

    Raises: UnknownKind.
    """
    try:
        return _names[kind]
    except KeyError:
        raise UnknownKind(f"No handler is registered for the kind {kind!r}.") from None


def all_handlers() -> list[Handler]:
    """Return every handler, by kind."""
    return [_handlers[kind] for kind in sorted(_handlers)]


def get_schedule(name: str) -> ScheduledJob | None:
    """Return a declaration; None when this code has none of that name."""
    return _schedules.get(name)


def scheduled() -> list[ScheduledJob]:
    """Return every declared schedule, by name."""
    return [_schedules[name] for name in sorted(_schedules)]


def _policy(
    payload: type[Payload], queue: str, timeout_s: float, retry: RetryPolicy | None
) -> RetryPolicy:
    """Return the retries of a kind: its own, or its queue's."""
    if queue not in QUEUES:
        raise ValueError(f"{payload.KIND}: unknown queue {queue!r}")
    if timeout_s <= 0:
        raise ValueError(f"{payload.KIND}: timeout_s must be positive")
    return QUEUES[queue].retry if retry is None else retry


def _register(new: Handler) -> None:
    for name in (new.kind, *new.aliases):
        if name in _names:
            raise ValueError(f"the kind {name} is declared twice")
    _handlers[new.kind] = new
    _names.update(dict.fromkeys((new.kind, *new.aliases), new))


def _refuse(kind: str, error: ValidationError) -> InvalidPayload:
    """Turn pydantic's findings into a refusal that names the fields."""
    findings = [
        {"field": ".".join(str(part) for part in found["loc"]), "problem": found["msg"]}
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = findings[0]
    return InvalidPayload(
        f"{kind}: {first['field'] or 'payload'}: {first['problem']}",
        data={"kind": kind, "field": first["field"], "problems": findings},
    )
