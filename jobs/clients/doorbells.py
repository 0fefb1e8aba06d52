"""Doorbells: RQ jobs that carry a job's id and nothing else.

A doorbell is an RQ job's hash and its id in the queue's list. Pushing and taking are one Lua call
each, whatever their number: stock RQ spends 20 round trips on a job (research: rq, ADR 0009).
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import NoScriptError
from rq.job import Job as RqJob
from rq.queue import Queue
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import utcformat

from jobs.clients.redis import producer

logger = logging.getLogger(__name__)

DISPATCHER: Final = "jobs.worker.execute.execute"
"""The only function a doorbell may name."""

MARKER: Final = "flagship:jobs:marker"
"""A counter that grows at each sweep: an emptied or restored Redis is behind."""

EXPIRY_S: Final = 24 * 3600
"""A doorbell nobody answered in this time is clutter; its job is rung for anew."""

TIMEOUT_MARGIN_S: Final = 30
"""RQ's own idea of a timeout comes this much after ours and decides nothing."""

NUDGE_MS: Final = 10_000
"""What is left of a worker that is gone goes after this time."""

CHUNK: Final = 1_000
"""Doorbells in one call: it holds Redis up for some milliseconds."""

_ID: Final = re.compile(r"([0-9a-f]{32})-[0-9]{1,10}([stbi])")

_PUSH: Final = """
local moment, keys_prefix, expiry, push = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local at = 5
for place, list in ipairs(KEYS) do
    local count = tonumber(ARGV[at])
    local ids = {}
    for offset = at + 1, at + 3 * count, 3 do
        local id = ARGV[offset]
        local key = keys_prefix .. id
        redis.call('HSET', key, 'created_at', moment, 'enqueued_at', moment, 'status', 'queued',
            'origin', string.sub(list, 10), 'description', id, 'data', ARGV[offset + 1],
            'timeout', ARGV[offset + 2], 'result_ttl', 0, 'ttl', expiry)
        redis.call('EXPIRE', key, expiry)
        ids[#ids + 1] = id
        if #ids == 1000 then
            redis.call(push, list, unpack(ids))
            ids = {}
        end
    end
    if #ids > 0 then
        redis.call(push, list, unpack(ids))
    end
    redis.call('SADD', 'rq:queues', list)
    at = at + 1 + 3 * count
end
"""
_TAKE: Final = """
local keys_prefix, worker = ARGV[1], ARGV[2]
local ended = tonumber(ARGV[3])
for offset = 4, 3 + ended do
    redis.call('DEL', keys_prefix .. ARGV[offset])
end
local at = 4 + ended
local adopted = tonumber(ARGV[at])
for offset = at + 1, at + adopted do
    local key = keys_prefix .. ARGV[offset]
    if redis.call('EXISTS', key) == 1 then
        redis.call('HSET', key, 'status', 'started', 'worker_name', worker)
    end
end
at = at + 1 + adopted
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then
    return {1}
end
local answer = {0}
for place = 1, #KEYS - 1 do
    local limit = tonumber(ARGV[at + place - 1])
    local ids = limit > 0 and redis.call('LPOP', KEYS[place], limit) or false
    for _, id in ipairs(ids or {}) do
        local key = keys_prefix .. id
        local letter = string.sub(id, -1)
        if letter == 't' or letter == 'b' then
            if redis.call('DEL', key) == 1 then
                answer[#answer + 1] = id
                answer[#answer + 1] = place
            end
        elseif redis.call('EXISTS', key) == 1 then
            redis.call('HSET', key, 'status', 'started', 'worker_name', worker)
            answer[#answer + 1] = id
            answer[#answer + 1] = place
        end
    end
end
return answer
"""


@dataclass(frozen=True, slots=True)
class Ring:
    """What is pushed for one delivery of one job; `letter` says how the job is run.

    s stepwise, t transactional, b in a batch, i isolated. A worker believes the row, not the
    letter, which only decides which way the doorbell goes inside it.
    """

    job_id: uuid.UUID
    queue: str
    delivery_no: int
    timeout_s: float
    letter: str = "s"

    @property
    def rq_id(self) -> str:
        """The id in Redis; a new one for each delivery, so that RQ never sees one twice."""
        return f"{self.job_id.hex}-{self.delivery_no}{self.letter}"


@dataclass(frozen=True, slots=True)
class Bell:
    """A doorbell that was taken: which job, from which queue, and how it is run."""

    rq_id: str
    job_id: uuid.UUID
    queue: str
    letter: str


def ring(doorbells: Iterable[Ring], *, first: bool = False) -> None:
    """Push doorbells to the ends of their queues, a thousand in a round trip; or to the fronts.

    Raises: redis.RedisError; some may have been pushed then.
    """
    waiting = list(doorbells)
    for start in range(0, len(waiting), CHUNK):
        _push(waiting[start : start + CHUNK], "LPUSH" if first else "RPUSH")


def _push(doorbells: Sequence[Ring], push: str) -> None:
    by_queue: dict[str, list[Ring]] = {}
    for doorbell in doorbells:
        by_queue.setdefault(doorbell.queue, []).append(doorbell)
    arguments: list[Any] = [utcformat(datetime.now(UTC)), _PREFIX, EXPIRY_S, push]
    for members in by_queue.values():
        arguments.append(len(members))
        for each in members:
            data = f'["{DISPATCHER}", null, ["{each.job_id.hex}"], {{}}]'
            arguments += (each.rq_id, data, int(each.timeout_s) + TIMEOUT_MARGIN_S)
    _evaluate(producer(), _PUSH, [key_of(name) for name in by_queue], arguments)


def put_back(bells: Iterable[Bell]) -> None:
    """Push doorbells that were taken and not answered, to be the next ones of their queues.

    Raises: redis.RedisError.
    """
    rings = [
        Ring(bell.job_id, bell.queue, int(bell.rq_id[33:-1]), 0.0, bell.letter) for bell in bells
    ]
    ring(reversed(rings), first=True)


def take(
    client: Redis,
    *,
    worker: str,
    limits: Mapping[str, int],
    ended: Sequence[str] = (),
    adopted: Sequence[str] = (),
) -> tuple[list[Bell], bool]:
    """Take up to so many doorbells from each queue, in the order of `limits`, in one round trip.

    On the way the hashes of `ended` doorbells go and those `adopted` by `wait` are marked as
    started, so that RQ's own tools see what runs and may stop it. Returns the doorbells, and
    whether workers are suspended, when none are taken. What is no doorbell is dropped.
    Raises: redis.RedisError.
    """
    names = list(limits)
    keys = [*map(key_of, names), WORKERS_SUSPENDED]
    arguments = [_PREFIX, worker, len(ended), *ended, len(adopted), *adopted, *limits.values()]
    suspended, *found = _evaluate(client, _TAKE, keys, arguments)
    places = zip(found[::2], found[1::2], strict=True)
    bells = [_read(rq_id, names[place - 1]) for rq_id, place in places]
    return [bell for bell in bells if bell is not None], bool(suspended)


def wait(client: Redis, queues: Sequence[str], wait_s: float, *, worker: str) -> Bell | None:
    """Wait for one doorbell on any of these queues; the first named are asked first.

    Returns None when there was none in this time, or `nudge` was called.
    Raises: redis.RedisError.
    """
    keys = [*map(key_of, queues), _NUDGE + worker]
    popped = cast(Any, client.blpop(keys, wait_s))
    if popped is None or popped[0].decode() == keys[-1]:
        return None
    return _read(popped[1], popped[0].decode()[len(_LIST) :])


def nudge(worker: str) -> None:
    """End the `wait` of a worker, this one or the next. Raises: redis.RedisError."""
    with producer().pipeline(transaction=False) as pipeline:
        pipeline.rpush(_NUDGE + worker, 1)
        pipeline.pexpire(_NUDGE + worker, NUDGE_MS)
        pipeline.execute()


def standing(queue: str, *, limit: int) -> list[str]:
    """Return the ids of the first doorbells of a queue, the next to be taken first."""
    ids = cast("list[bytes]", producer().lrange(key_of(queue), 0, limit - 1))
    return [rq_id.decode("ascii", "replace") for rq_id in ids]


def marker() -> int | None:
    """Return how often it was swept since Redis was empty; None when it is.

    Raises: redis.RedisError.
    """
    value = cast("bytes | None", producer().get(MARKER))
    return int(value) if value is not None and value.isdigit() else None


def advance_marker() -> int:
    """Count one more sweep; return the count."""
    return int(cast(Any, producer().incr(MARKER)))


def set_marker(count: int) -> None:
    """Begin to count anew, in a Redis that had lost its data."""
    producer().set(MARKER, count)


def job_id_of(rq_id: str) -> uuid.UUID | None:
    """Return the job a doorbell's id names; None when it is no doorbell's."""
    match = _ID.fullmatch(rq_id)
    return uuid.UUID(hex=match[1]) if match else None


def key_of(queue: str) -> str:
    """Return the key of a queue's list."""
    return _LIST + queue


def _read(rq_id: bytes, queue: str) -> Bell | None:
    text = rq_id.decode("ascii", "replace")
    match = _ID.fullmatch(text)
    if match is None:
        logger.warning("dropped what is no doorbell in %s: %.60r", queue, text)
        return None
    return Bell(text, uuid.UUID(hex=match[1]), queue, match[2])


def _evaluate(client: Redis, script: str, keys: list[str], arguments: list[Any]) -> Any:
    try:
        return client.evalsha(_digest(client, script), len(keys), *keys, *arguments)
    except NoScriptError:
        return client.eval(script, len(keys), *keys, *arguments)


def _digest(client: Redis, script: str) -> str:
    if script not in _digests:
        _digests[script] = client.register_script(script).sha
    return _digests[script]


_NUDGE: Final = "flagship:jobs:nudge:"
_digests: Final[dict[str, str]] = {}
_LIST: Final = Queue.redis_queue_namespace_prefix
_PREFIX: Final = RqJob.redis_job_namespace_prefix
