"""How to tell that a started part does its work."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable

import psutil
import redis

ANSWER_TIMEOUT_S = 2.0


def answers(port: int, path: str) -> Callable[[int], bool]:
    """Up when a GET of the path is answered with 200."""

    def is_up(pid: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        return False

    return is_up


def registered(redis_url: str) -> Callable[[int], bool]:
    """Up when a worker with this pid has announced itself where RQ workers do."""

    def is_up(pid: int) -> bool:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1) as client,
        ):
            keys = client.sscan_iter("rq:workers")
            return any(client.hget(key, "pid") == str(pid).encode() for key in keys)
        return False

    return is_up


def alive_for(seconds: float) -> Callable[[int], bool]:
    """Up when the process has lived that long: for what answers nobody."""

    def is_up(pid: int) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return time.time() - psutil.Process(pid).create_time() >= seconds
        return False

    return is_up
