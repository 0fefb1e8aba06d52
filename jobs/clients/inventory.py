"""Which doorbells Redis holds, asked and cleared away in bulk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from redis.exceptions import NoPermissionError
from rq.job import Job as RqJob

from jobs.clients.doorbells import Ring, key_of
from jobs.clients.redis import producer

CHUNK: Final = 1_000
"""So many keys a command, so that no single one blocks Redis or outlasts a client's patience."""

FILLED: Final = "flagship:jobs:filled"
"""Names the run of the Redis server that has been given every doorbell."""


_PREFIX: Final = RqJob.redis_job_namespace_prefix

_CLEAR: Final = """
local ids = redis.call('RPOP', KEYS[1], ARGV[2]) or {}
for _, id in ipairs(ids) do redis.call('UNLINK', ARGV[1] .. id) end
return #ids
"""
"""Entry and hash go together: a hash alone would look like a bell that is waiting."""

_ABSENT: Final = """
local absent = {}
for place = 2, #ARGV do
    if redis.call('HGET', ARGV[1] .. ARGV[place], 'status') ~= 'queued' then
        absent[#absent + 1] = place - 2
    end
end
return absent
"""
"""One that was taken is not waiting: its worker may have died before it could claim."""


_FILLED: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Filling:
    """One filling of one run of the server, under way."""

    run_id: str
    token: str


def absent(doorbells: Sequence[Ring]) -> list[Ring]:
    """Return those of these doorbells that do not wait in Redis.

    Raises: redis.RedisError.
    """
    missing: list[Ring] = []
    for start in range(0, len(doorbells), CHUNK):
        some = doorbells[start : start + CHUNK]
        ids = [each.rq_id for each in some]
        places = cast(list[int], producer().eval(_ABSENT, 0, _PREFIX, *ids))
        missing += [some[place] for place in places]
    return missing


def clear(queue: str) -> int:
    """Take every doorbell out of a queue, chunk by chunk; return how many.

    The newest go first: a worker that pops meanwhile still gets the oldest.
    Raises: redis.RedisError.
    """
    client = producer()
    arguments = (key_of(queue), _PREFIX, CHUNK)
    cleared = 0
    while count := cast(int, client.eval(_CLEAR, 1, *arguments)):
        cleared += count
    return cleared


def is_filled() -> bool:
    """Tell whether this run of the server has been given every doorbell.

    A server that was started anew has another `run_id`, whatever it has read from disk: all, an
    old dump, or nothing. One that was emptied has no answer. So nobody has to remember anything.
    Raises: redis.RedisError.
    """
    filled = cast("bytes | None", producer().get(FILLED))
    return filled is not None and filled.decode() == _run_id()


def begin_filling() -> Filling:
    """Say that it is being filled; begin before reading what to fill it with."""
    filling = Filling(_run_id(), uuid.uuid4().hex)
    producer().set(FILLED, filling.token)
    return filling


def end_filling(filling: Filling) -> bool:
    """Say that it is filled, unless it was emptied or somebody else began meanwhile."""
    return bool(producer().eval(_FILLED, 1, FILLED, filling.token, filling.run_id))


def _run_id() -> str:
    """Return what the server calls this run of its own; always the same if we may not ask."""
    try:
        return str(cast("dict[str, str]", producer().info("server"))["run_id"])
    except (NoPermissionError, KeyError):
        return "unknown"
