"""Handlers of the drills."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any

from django.db import transaction

from jobs.context import Death, JobContext
from jobs.errors import Refusal
from jobs.queues import AUDIT, NOTIFICATIONS, USAGE
from jobs.registry import handler
from jobs.retry import never
from tests.drills import poisons as poisons  # registers its kinds
from tests.drills import shapes as shapes  # registers its kinds
from tests.drills.models import Effect
from tests.drills.payloads import Mortal, Stubborn, Touch, TouchElsewhere

failed_on_dead: Counter[str] = Counter()


@handler(Touch, queue=USAGE, timeout_s=30.0)
def touch(payload: Touch, context: JobContext) -> None:
    """Sleep outside the transaction, then effect and completion in one."""
    context.stop.wait(payload.sleep_s)
    context.check()
    if context.attempt <= payload.fail_times:
        raise RuntimeError("not yet")
    with transaction.atomic():
        Effect.objects.create(key=payload.key, attempt=context.attempt)
        context.complete({"key": payload.key})


@handler(TouchElsewhere, queue=NOTIFICATIONS, timeout_s=30.0)
def touch_elsewhere(payload: TouchElsewhere, context: JobContext) -> None:
    """The same on another queue."""
    touch(payload, context)


@handler(Stubborn, queue=AUDIT, timeout_s=0.3, retry=never())
def stubborn(payload: Stubborn, context: JobContext) -> dict[str, Any]:
    """Go on for five seconds whatever is raised."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            time.sleep(0.005)
        except Exception:
            continue
        except BaseException:
            if not payload.swallow_everything:
                raise
            break
    return {"survived": True}


def mourn(payload: Mortal, death: Death) -> None:
    """Leave an effect, or fail."""
    Effect.objects.create(key=f"{payload.key}:on_dead", attempt=death.attempts)
    failed_on_dead[payload.key] += 1
    if failed_on_dead[payload.key] <= payload.on_dead_fails:
        raise RuntimeError("on_dead fails")


class NotAgain(Refusal):
    """The drill refuses its requeue."""

    code = "DRILL_REFUSED"
    status = 409


def rise(payload: Mortal, job_id: uuid.UUID) -> None:
    """Leave an effect, then refuse if told to."""
    Effect.objects.create(key=f"{payload.key}:on_requeue", attempt=0)
    if payload.refuse_requeue:
        raise NotAgain


@handler(Mortal, queue=AUDIT, timeout_s=30.0, retry=never(), on_dead=mourn, on_requeue=rise)
def mortal(payload: Mortal, context: JobContext) -> dict[str, Any]:
    """Die, or live again."""
    if context.attempt < payload.lives_from_attempt:
        raise RuntimeError("as it must")
    return {"lives": True}
