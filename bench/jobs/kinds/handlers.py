"""The handlers, written as the documentation asks for each shape."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from django.db import transaction

from bench.jobs.kinds.payloads import (
    DurableBatch,
    DurableStepwise,
    DurableTransactional,
    DurableWaiting,
    NoopBatch,
    NoopStepwise,
    NoopTransactional,
    Numbered,
)
from bench.jobs.peers.effects import INSERT, UPDATE, stamp
from jobs.clients.postgres import run, run_later
from jobs.context import BatchItem, JobContext
from jobs.queues import USAGE
from jobs.registry import batch_handler, handler
from jobs.states import Shape

N = TypeVar("N", bound=Numbered)

BATCH_SIZE = 100
TIMEOUT_S = 60.0
INSERT_MANY = "INSERT INTO bench_effect (job) SELECT unnest(%s::int[])"
UPDATE_MANY = "UPDATE bench_row SET done = done + 1 WHERE id = ANY(%s)"


@handler(NoopStepwise, queue=USAGE, timeout_s=TIMEOUT_S)
def noop_stepwise(payload: NoopStepwise, context: JobContext) -> None:
    """Do nothing."""
    stamp(payload.number, time.monotonic())


@handler(DurableStepwise, queue=USAGE, timeout_s=TIMEOUT_S)
def durable_stepwise(payload: DurableStepwise, context: JobContext) -> None:
    """Write twice and complete, in one transaction."""
    started = time.monotonic()
    with transaction.atomic():
        _write(payload.number)
        context.complete()
    stamp(payload.number, started)


@handler(NoopTransactional, queue=USAGE, timeout_s=TIMEOUT_S, shape=Shape.TRANSACTIONAL)
def noop_transactional(payload: NoopTransactional, context: JobContext) -> None:
    """Do nothing."""
    stamp(payload.number, time.monotonic())


@handler(DurableTransactional, queue=USAGE, timeout_s=TIMEOUT_S, shape=Shape.TRANSACTIONAL)
def durable_transactional(payload: DurableTransactional, context: JobContext) -> None:
    """Write twice on the way of the engine's COMMIT."""
    started = time.monotonic()
    run_later(INSERT, (payload.number,))
    run_later(UPDATE, (payload.number,))
    stamp(payload.number, started)


@handler(DurableWaiting, queue=USAGE, timeout_s=TIMEOUT_S, shape=Shape.TRANSACTIONAL)
def durable_waiting(payload: DurableWaiting, context: JobContext) -> None:
    """Write, wait, write and wait; the engine's COMMIT follows."""
    started = time.monotonic()
    _write(payload.number)
    stamp(payload.number, started)


@batch_handler(NoopBatch, queue=USAGE, timeout_s=TIMEOUT_S, size=BATCH_SIZE)
def noop_batch(items: Sequence[BatchItem[NoopBatch]]) -> None:
    """Do nothing for each."""
    _stamp_all(items, time.monotonic())


@batch_handler(DurableBatch, queue=USAGE, timeout_s=TIMEOUT_S, size=BATCH_SIZE)
def durable_batch(items: Sequence[BatchItem[DurableBatch]]) -> None:
    """Write twice for each job, as two statements for all of them."""
    started = time.monotonic()
    numbers = [item.payload.number for item in items]
    run(INSERT_MANY, (numbers,))
    run(UPDATE_MANY, (numbers,))
    _stamp_all(items, started)


def _write(number: int) -> None:
    run(INSERT, (number,))
    run(UPDATE, (number,))


def _stamp_all(items: Sequence[BatchItem[N]], started: float) -> None:
    for item in items:
        stamp(item.payload.number, started)
