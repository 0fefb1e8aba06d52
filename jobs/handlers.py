"""The engine's own kinds."""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from jobs.context import Death, JobContext
from jobs.errors import GiveUp
from jobs.payloads import (
    CleanDeadLetters,
    FoldDeaths,
    Probe,
    PruneJobs,
    RunOnDead,
    RunRedrive,
)
from jobs.queues import MAINTENANCE
from jobs.registry import handler
from jobs.retry import exponential
from jobs.services.cleanup import clean_dead_letters
from jobs.services.deaths import pay_on_dead
from jobs.services.failure_groups import FOLDED_AT_ONCE, fold_deaths, forget_hours
from jobs.services.prune import Pruned, prune_jobs
from jobs.services.redrives import run_slice, stop_dead_redrive
from jobs.services.tombstones import FORGOTTEN_AT_ONCE, forget_tombstones

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


def stop_redrive(payload: RunRedrive, death: Death) -> None:
    """The job has died: what it had not answered stays open."""
    stop_dead_redrive(owed=payload, death=death)


@handler(RunRedrive, queue=MAINTENANCE, timeout_s=120.0, retry=exponential(5), on_dead=stop_redrive)
def run_redrive(payload: RunRedrive, context: JobContext) -> None:
    """Answer what is due, for some seconds, and come back for the rest."""
    run_slice(redrive_id=uuid.UUID(payload.redrive_id), context=context)


@handler(FoldDeaths, queue=MAINTENANCE, timeout_s=300.0)
def fold(payload: FoldDeaths, context: JobContext) -> dict[str, Any]:
    """Fold until little is left; what is noted meanwhile is the next run's."""
    folded, taken = 0, FOLDED_AT_ONCE
    while taken == FOLDED_AT_ONCE and context.remaining_s() > PRUNE_RESERVE_S:
        taken = fold_deaths()
        folded += taken
        context.check()
    return {"folded": folded}


@handler(CleanDeadLetters, queue=MAINTENANCE, timeout_s=3600.0)
def clean(payload: CleanDeadLetters, context: JobContext) -> dict[str, Any]:
    """Delete old letters batch by batch, then what is remembered of them for too long.

    What is left when the time is nearly over is the next run's.
    """
    days = payload.days or settings.DEAD_LETTER_RETENTION_DAYS
    deleted = 0
    for letters in clean_dead_letters(
        older_than=timedelta(days=days), actor=payload.actor, reason=payload.reason
    ):
        deleted += letters
        context.progress({"deleted": deleted})
        context.check()
        if context.remaining_s() < PRUNE_RESERVE_S:
            break
    return {"deleted": deleted, "forgotten": _forget(context), "hours": forget_hours()}


def _forget(context: JobContext) -> int:
    """Delete the tombstones that are kept no longer, while there is time."""
    older_than = timedelta(days=settings.TOMBSTONE_RETENTION_DAYS)
    forgotten, taken = 0, FORGOTTEN_AT_ONCE
    while taken == FORGOTTEN_AT_ONCE and context.remaining_s() > PRUNE_RESERVE_S:
        taken = forget_tombstones(older_than=older_than)
        forgotten += taken
    return forgotten


def _break(payload: Probe) -> None:
    if payload.action == "exit":
        os._exit(70)
    if payload.action == "give_up":
        raise GiveUp(payload.note or "the probe gives up")
    raise RuntimeError(payload.note or "the probe fails")
