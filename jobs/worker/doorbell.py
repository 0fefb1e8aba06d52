"""RQ's jobs, disarmed: JSON only, the dispatcher only, nothing else is called (rq.md section 7)."""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import serializers
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import import_attribute

from jobs.clients.doorbells import DISPATCHER


class RefusedDoorbell(Exception):
    """Somebody put something else than a doorbell into Redis."""


class Doorbell(Job):
    """The RQ job class of every process (RQ['JOB_CLASS'])."""

    def __init__(
        self, id: str | None = None, connection: Redis | None = None, serializer: Any = None
    ) -> None:
        super().__init__(id, connection, JSONSerializer)


def harden() -> None:
    """Make RQ unable to unpickle or to call anything but the dispatcher, in this process.

    Applied to the base class too, because parts of RQ and django-rq ignore JOB_CLASS. Redis may
    then only ring, delay or drop: what is run comes from PostgreSQL through the registry.
    """
    serializers.DefaultSerializer.dumps = staticmethod(JSONSerializer.dumps)
    serializers.DefaultSerializer.loads = staticmethod(JSONSerializer.loads)
    Job.func = property(_dispatcher)  # type: ignore[assignment,method-assign]
    for callback in ("success_callback", "failure_callback", "stopped_callback"):
        setattr(Job, callback, property(_nothing))
    Job.send_webhooks = _nothing  # type: ignore[method-assign]


def _dispatcher(job: Job) -> Any:
    """Return the dispatcher if this is a doorbell. Raises: RefusedDoorbell."""
    try:
        name, instance, args, kwargs = job.func_name, job.instance, job.args, job.kwargs
    except Exception as error:
        raise RefusedDoorbell(f"{job.id}: unreadable") from error
    plain = instance is None and not kwargs and len(args) == 1 and isinstance(args[0], str)
    if name != DISPATCHER or not plain:
        raise RefusedDoorbell(f"{job.id}: not a doorbell")
    return import_attribute(DISPATCHER)


def _nothing(*_: Any, **__: Any) -> None:
    return None
