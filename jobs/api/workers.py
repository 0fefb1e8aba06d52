"""GET /v1/worker/health (O-03)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import examples
from jobs.selectors.workers import worker_health


class WorkerHealthAnswer(serializers.Serializer[Any]):
    """Whether work is being done."""

    example = examples.WORKER_HEALTH

    ok = serializers.BooleanField(help_text="A worker has beaten within `staleAfterMs`.")
    lastHeartbeatAt = serializers.DateTimeField(
        source="last_heartbeat_at",
        allow_null=True,
        help_text="The newest beat of a worker that has not said farewell.",
    )
    ageMs = serializers.IntegerField(source="age_ms", allow_null=True)
    staleAfterMs = serializers.IntegerField(source="stale_after_ms")


class WorkerHealthView(APIView):
    """The seeds' report on the workers."""

    scopes = {"GET": "workers:read"}

    @extend_schema(responses=WorkerHealthAnswer)
    def get(self, request: Request) -> Response:
        """Say whether a worker is alive; 200 either way, `ok` is the answer."""
        return Response(
            WorkerHealthAnswer(worker_health(stale_after_s=settings.WORKER_STALE_S)).data
        )
