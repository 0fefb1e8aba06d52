"""Doorbells: RQ jobs that carry a job's id and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from redis import Redis
from rq.job import Job as RqJob
from rq.queue import EnqueueData, Queue
from rq.serializers import JSONSerializer

from jobs.clients.redis import producer

DISPATCHER: Final = "jobs.worker.execute.execute"
"""The only function a doorbell may name."""

MARKER: Final = "flagship:jobs:marker"
"""A key that is there as long as Redis has not lost its data."""

EXPIRY_S: Final = 24 * 3600
"""A doorbell nobody answered in this time is clutter; its job is rung for anew."""

TIMEOUT_MARGIN_S: Final = 30
"""RQ's own idea of a timeout comes this much after ours and decides nothing."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What is pushed for one delivery of one job."""

    job_id: uuid.UUID
    queue: str
    delivery_no: int
    timeout_s: float

    @property
    def rq_id(self) -> str:
        """The id in Redis; a new one for each delivery, so that RQ never sees one twice."""
        return f"{self.job_id.hex}-{self.delivery_no}"


def ring(doorbells: Iterable[Ring]) -> None:
    """Push doorbells to their queues in one round trip.

    Raises: redis.RedisError; some may have been pushed then.
    """
    client = producer()
    by_queue: dict[str, list[Ring]] = {}
    for doorbell in doorbells:
        by_queue.setdefault(doorbell.queue, []).append(doorbell)
    with client.pipeline(transaction=False) as pipeline:
        for name, members in by_queue.items():
            queue = Queue(name, connection=client, serializer=JSONSerializer, job_class=RqJob)
            queue.enqueue_many([_prepare(member) for member in members], pipeline=pipeline)
        pipeline.execute()


def waiting(queue: str) -> set[str]:
    """Return the RQ ids that stand in a queue."""
    client = producer()
    ids: list[bytes] = client.lrange(Queue(queue, connection=client).key, 0, -1)  # type: ignore[assignment]
    return {rq_id.decode() for rq_id in ids}


def has_lost_its_data() -> bool:
    """Tell whether Redis came back empty since the marker was set."""
    return not producer().exists(MARKER)


def set_marker() -> None:
    """Remember that every doorbell rung from now on is in Redis."""
    client: Redis = producer()
    client.set(MARKER, "1")


def _prepare(doorbell: Ring) -> EnqueueData:
    return Queue.prepare_data(
        DISPATCHER,
        args=[doorbell.job_id.hex],
        job_id=doorbell.rq_id,
        timeout=int(doorbell.timeout_s) + TIMEOUT_MARGIN_S,
        ttl=EXPIRY_S,
        result_ttl=0,
        description=doorbell.rq_id,
    )
