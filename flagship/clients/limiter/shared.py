"""Sliding windows in Redis: all demands of a request in one call, all or none of them counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from flagship.clients.limiter.demand import Demand, Level

TIMEOUT_S: Final = 0.1
"""A request waits so long for Redis, at most twice: to connect and to ask."""

# A window is cut into 100 parts. A hash holds the count of each part that is not empty (field: its
# number modulo 101), their sum, the number of the latest part and of the oldest with a count. The
# part being filled and the 100 before it are counted: never less than the window, so no window of
# any position lets more through than its quota; a request comes free a hundredth late at most.
# The first loop moves each window on to now and looks; only if all have room the second counts.
_TAKE: Final = """
local parts = 100
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local levels, windows, is_over = {}, {}, false
for place, key in ipairs(KEYS) do
    local most, step = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place]) * 1000000 / parts
    local current = math.floor(now / step)
    local kept = redis.call('HMGET', key, 'at', 'sum', 'old')
    local at, sum, old = tonumber(kept[1]), tonumber(kept[2]) or 0, tonumber(kept[3])
    if at and at > current and at - current <= parts then
        current = at
    end
    if at and (at > current or current - at > parts) then
        redis.call('DEL', key)
        at, sum = nil, 0
    end
    if at and current > at then
        local gone = {}
        for part = at + 1, current do
            gone[#gone + 1] = part % (parts + 1)
        end
        for _, count in ipairs(redis.call('HMGET', key, unpack(gone))) do
            sum = sum - (tonumber(count) or 0)
        end
        redis.call('HDEL', key, unpack(gone))
        if sum > 0 and old < current - parts then
            old = current - parts
            while redis.call('HEXISTS', key, old % (parts + 1)) == 0 do
                old = old + 1
            end
        end
        redis.call('HSET', key, 'at', current, 'sum', sum, 'old', old)
    end
    if sum <= 0 then
        sum, old = 0, current
    end
    windows[place] = {current, sum, old, step}
    is_over = is_over or sum >= most
end
for place, key in ipairs(KEYS) do
    local current, sum, old, step = unpack(windows[place])
    local is_full = sum >= tonumber(ARGV[2 * place - 1])
    if not is_over then
        sum = sum + 1
        redis.call('HINCRBY', key, current % (parts + 1), 1)
        redis.call('HSET', key, 'at', current, 'sum', sum, 'old', old)
        redis.call('PEXPIRE', key, math.ceil((parts + 2) * step / 1000) + 1000)
    end
    local wait = math.max(1, math.ceil(((old + parts + 1) * step - now) / 1000000))
    levels[#levels + 1] = sum
    levels[#levels + 1] = wait
    levels[#levels + 1] = is_full and 1 or 0
end
return levels
"""


class SharedWindows:
    """The counts that all processes share."""

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = _TAKE
        self._sha = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()

    def take(self, demands: Sequence[Demand]) -> list[Level]:
        """Count the request under every demand, or under none if one of them has no room.

        Invariant: one script decides by Redis' own clock, so that of any number of processes no
        two see the same room. Raises: redis.RedisError, OSError when Redis does not answer.
        """
        quotas = [(demand.quota.requests, demand.quota.window_s) for demand in demands]
        names = [demand.name for demand in demands]
        answer = self._run(len(names), *names, *(number for quota in quotas for number in quota))
        told = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        return [
            Level(demand.policy, demand.quota, int(used), int(wait_s), bool(is_full))
            for demand, (used, wait_s, is_full) in zip(demands, told, strict=True)
        ]

    def _run(self, *arguments: str | int) -> list[Any]:
        """Run the script on a connection, without what a client does around a command.

        Every request asks once: retries, metrics and callbacks would be a third of the price.
        """
        connection = self._pool.get_connection()
        try:
            connection.send_command("EVALSHA", self._sha, *arguments)  # type: ignore[no-untyped-call]
            try:
                answer: list[Any] = connection.read_response()
            except NoScriptError:
                # A server that has just been started keeps it from now on.
                connection.send_command("EVAL", self._script, *arguments)  # type: ignore[no-untyped-call]
                answer = connection.read_response()
            return answer
        finally:
            self._pool.release(connection)

    def disconnect(self) -> None:
        """Drop idle connections, which may be broken too; those in use are their threads' own."""
        self._pool.disconnect(inuse_connections=False)
