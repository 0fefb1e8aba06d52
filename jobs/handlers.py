"""The engine's own kinds."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from jobs.context import JobContext
from jobs.errors import GiveUp
from jobs.payloads import Probe, PruneJobs, RunOnDead
from jobs.queues import MAINTENANCE
from jobs.registry import handler
from jobs.retry import exponential
from jobs.services.deaths import pay_on_dead
from jobs.services.prune import Pruned, prune_jobs

PRUNE_RESERVE_S: Final = 60.0


@handler(Probe, queue=MAINTENANCE, timeout_s=3600.0, scope="jobs:probe")
def probe(payload: Probe, context: JobContext) -> dict[str, Any]:
    """Do what the drill says; the run's number decides whether it still fails."""
    for step in range(1, payload.steps + 1):
        context.stop.wait(payload.sleep_s / payload.steps)
        context.check()
        if payload.steps > 1:
            context.progress({"step": step, "steps": payload.steps})
    if payload.action != "succeed" and context.attempt <= payload.fail_times:
        _break(payload)
    return {"attempt": context.attempt, "note": payload.note}


@handler(RunOnDead, queue=MAINTENANCE, timeout_s=60.0, retry=exponential(5))
def run_on_dead(payload: RunOnDead, context: JobContext) -> None:
    """Do what a burying could not."""
    pay_on_dead(owed=payload, context=context)


@handler(PruneJobs, queue=MAINTENANCE, timeout_s=3600.0)
def prune(payload: PruneJobs, context: JobContext) -> dict[str, Any]:
    """Delete what ended long ago, batch by batch, each in its own transaction.

    What is left when the time is nearly over is the next run's.
    """
    total = Pruned()
    for pruned in prune_jobs(older_than=timedelta(days=settings.JOB_RETENTION_DAYS)):
        total += pruned
        context.check()
        if context.remaining_s() < PRUNE_RESERVE_S:
            break
    return asdict(total)


def _break(payload: Probe) -> None:
    if payload.action == "exit":
        os._exit(70)
    if payload.action == "give_up":
        raise GiveUp(payload.note or "the probe gives up")
    raise RuntimeError(payload.note or "the probe fails")
