"""Is this process alive, and may it take requests?"""

from __future__ import annotations

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from flagship.errors.server import NotReady


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process answers; nothing else is touched."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether database and Redis answer.

    Raises: NotReady, naming what does not.
    """
    checks = {"database": _database_answers(), "redis": _redis_answers()}
    if not all(checks.values()):
        raise NotReady(data={"checks": checks})
    return JsonResponse({"status": "ready", "checks": checks})


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except Error:
        return False


def _redis_answers() -> bool:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.25, socket_connect_timeout=0.25
        ) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
