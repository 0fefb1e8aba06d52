"""One kind for each way a job can be run: what the kill matrix counts.

Every failed run may be repeated at once, so that nothing waits for a backoff. A key names a case
of the matrix; what a job leaves behind starts with its key.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from django.db import transaction

from jobs.clients.postgres import run_later
from jobs.context import BatchItem, Death, JobContext
from jobs.payloads import Payload
from jobs.queues import AUDIT, AUTO_ACTIONS, MAINTENANCE, NOTIFICATIONS, USAGE
from jobs.registry import batch_handler, handler
from jobs.retry import RetryPolicy, never
from jobs.services.cancel import cancel_job
from jobs.states import Shape
from tests.drills.models import Effect

AT_ONCE = RetryPolicy((0.0,) * 5)
LEAVE = "INSERT INTO drills_effect (key, attempt) VALUES (%s, %s)"


class Mark(Payload):
    """Leave an effect in one transaction with the completion, after `fail_times` failed runs."""

    KIND: ClassVar[str] = "drills.mark"

    key: str
    sleep_s: float = 0.0
    fail_times: int = 0


class MarkPlainly(Mark):
    """Leave an effect under the fence; the engine completes the job afterwards."""

    KIND: ClassVar[str] = "drills.mark_plainly"


class MarkByCall(Mark):
    """Tell a stranger over HTTP, with the job's id as the idempotency key."""

    KIND: ClassVar[str] = "drills.mark_by_call"

    url: str = "http://127.0.0.1:9/"


class MarkAtDeath(Mark):
    """Fail for good; `on_dead` leaves the effect."""

    KIND: ClassVar[str] = "drills.mark_at_death"


class MarkUnlessRecalled(Mark):
    """Ask for its own cancellation and wait for it."""

    KIND: ClassVar[str] = "drills.mark_unless_recalled"


class MarkInOne(Mark):
    """Claim, effect and completion in one transaction."""

    KIND: ClassVar[str] = "drills.mark_in_one"


class MarkLater(Mark):
    """The same, with an effect that nobody waits for before the COMMIT."""

    KIND: ClassVar[str] = "drills.mark_later"


class MarkTogether(Mark):
    """Many in one transaction."""

    KIND: ClassVar[str] = "drills.mark_together"


class MarkApart(Mark):
    """In a process of its own."""

    KIND: ClassVar[str] = "drills.mark_apart"


def leave(payload: Mark, attempt: int, suffix: str = "") -> None:
    """Leave one effect."""
    Effect.objects.create(key=payload.key + suffix, attempt=attempt)


def work(payload: Mark, context: JobContext) -> None:
    """Take the time, or fail."""
    context.stop.wait(payload.sleep_s)
    context.check()
    if context.attempt <= payload.fail_times:
        raise RuntimeError("not yet")


@handler(Mark, queue=USAGE, timeout_s=30.0, retry=AT_ONCE)
def mark(payload: Mark, context: JobContext) -> None:
    """Complete with the effect."""
    work(payload, context)
    with transaction.atomic():
        leave(payload, context.attempt)
        context.complete()


@handler(MarkPlainly, queue=NOTIFICATIONS, timeout_s=30.0, retry=AT_ONCE)
def mark_plainly(payload: MarkPlainly, context: JobContext) -> dict[str, str]:
    """An effect before the completion must look whether an earlier run has left it."""
    work(payload, context)
    context.progress({"step": 1})
    with transaction.atomic():
        context.assert_held()
        if not Effect.objects.filter(key=payload.key).exists():
            leave(payload, context.attempt)
    return {"key": payload.key}


@handler(MarkByCall, queue=NOTIFICATIONS, timeout_s=30.0, retry=AT_ONCE)
def mark_by_call(payload: MarkByCall, context: JobContext) -> None:
    """The stranger's effect is once per idempotency key; ours is once."""
    work(payload, context)
    address = urlsplit(payload.url)
    remote = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
    try:
        key = {"Idempotency-Key": context.job_id.hex}
        remote.request("POST", f"/{payload.key}", headers=key)
        if remote.getresponse().status != 201:
            raise RuntimeError("the stranger refuses")
    finally:
        remote.close()
    with transaction.atomic():
        leave(payload, context.attempt)
        context.complete()


def mourn(payload: MarkAtDeath, death: Death) -> None:
    """The effect of a death."""
    leave(payload, death.attempts)


@handler(MarkAtDeath, queue=AUDIT, timeout_s=30.0, retry=never(), on_dead=mourn)
def mark_at_death(payload: MarkAtDeath, context: JobContext) -> None:
    """Fail unless somebody has requeued it."""
    if context.attempt <= payload.fail_times:
        raise RuntimeError("as it must")
    with transaction.atomic():
        leave(payload, context.attempt, ":alive")
        context.complete()


@handler(MarkUnlessRecalled, queue=AUTO_ACTIONS, timeout_s=30.0, retry=AT_ONCE)
def mark_unless_recalled(payload: MarkUnlessRecalled, context: JobContext) -> None:
    """Never get as far as the effect."""
    cancel_job(job_id=context.job_id)
    context.stop.wait(20)
    context.check()
    with transaction.atomic():
        leave(payload, context.attempt)
        context.complete()


@handler(MarkInOne, queue=MAINTENANCE, timeout_s=30.0, retry=AT_ONCE, shape=Shape.TRANSACTIONAL)
def mark_in_one(payload: MarkInOne, context: JobContext) -> dict[str, str]:
    """Only an effect: the rest is the engine's."""
    work(payload, context)
    leave(payload, context.attempt)
    return {"key": payload.key}


@handler(MarkLater, queue=MAINTENANCE, timeout_s=30.0, retry=AT_ONCE, shape=Shape.TRANSACTIONAL)
def mark_later(payload: MarkLater, context: JobContext) -> None:
    """Write the effect on the way out."""
    run_later(LEAVE, (payload.key, context.attempt))
    work(payload, context)


@batch_handler(MarkTogether, queue=AUDIT, timeout_s=30.0, size=4, retry=RetryPolicy((0.0,)))
def mark_together(items: Sequence[BatchItem[MarkTogether]]) -> None:
    """Leave all effects, or raise for the one that is not to succeed."""
    for item in items:
        leave(item.payload, item.attempt)
        if item.attempt <= item.payload.fail_times:
            raise RuntimeError("not this one")


@handler(MarkApart, queue=MAINTENANCE, timeout_s=30.0, retry=AT_ONCE, isolated=True)
def mark_apart(payload: MarkApart, context: JobContext) -> None:
    """As `mark`, apart from everybody."""
    mark(payload, context)
