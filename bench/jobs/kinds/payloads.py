"""One payload class for each shape and each piece of work; `number` is the job's own."""

from __future__ import annotations

from typing import ClassVar

from jobs.payloads import Payload


class Numbered(Payload):
    """What all of them carry."""

    number: int


class NoopStepwise(Numbered):
    """Nothing, claimed and leased."""

    KIND: ClassVar[str] = "bench.noop_stepwise"


class DurableStepwise(Numbered):
    """Two writes and the completion in one transaction, after a claim."""

    KIND: ClassVar[str] = "bench.durable_stepwise"


class NoopTransactional(Numbered):
    """Nothing, in one transaction."""

    KIND: ClassVar[str] = "bench.noop_transactional"


class DurableTransactional(Numbered):
    """Claim, two writes and completion in one transaction."""

    KIND: ClassVar[str] = "bench.durable_transactional"


class DurableWaiting(Numbered):
    """The same, each write waited for by itself."""

    KIND: ClassVar[str] = "bench.durable_waiting"


class NoopBatch(Numbered):
    """Nothing, many at once."""

    KIND: ClassVar[str] = "bench.noop_batch"


class DurableBatch(Numbered):
    """Two writes a job, many jobs in one transaction."""

    KIND: ClassVar[str] = "bench.durable_batch"


PAYLOADS: dict[tuple[str, str], type[Numbered]] = {
    ("stepwise", "noop"): NoopStepwise,
    ("stepwise", "durable"): DurableStepwise,
    ("transactional", "noop"): NoopTransactional,
    ("transactional", "durable"): DurableTransactional,
    ("transactional_waiting", "noop"): NoopTransactional,
    ("transactional_waiting", "durable"): DurableWaiting,
    ("batch", "noop"): NoopBatch,
    ("batch", "durable"): DurableBatch,
}
"""By shape and work."""
