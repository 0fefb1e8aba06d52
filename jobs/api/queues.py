"""GET /v1/queues, POST /v1/queues/{queue}/pause and /resume (W-17).

The numbers are the platform's and tell nothing about any one organization, so any key with
`queues:read` may see them. Pausing is the operators': `queues:manage` is in no key that an
organization is given.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import examples
from jobs.api.requests import NumberField, StrictSerializer, TextField, caller_of, read
from jobs.errors import QueueAlreadyPaused, QueueNotFound, QueueNotPaused, ReasonRequired
from jobs.models import QueuePause
from jobs.queues import QUEUES
from jobs.selectors.pauses import pauses
from jobs.selectors.queues import COUNT_MAX, QueueFacts, QueueTimes, queue_facts, queue_times
from jobs.services.pauses import FOR_MAX_S, pause_queue, resume_queue

QUEUE = OpenApiParameter("queue", str, OpenApiParameter.PATH, enum=list(QUEUES))


class QueueQuery(StrictSerializer):
    """How far back the times go."""

    windowS = serializers.IntegerField(
        source="window_s",
        required=False,
        default=900,
        min_value=60,
        max_value=3600,
        help_text="Runs started in the last so many seconds.",
    )


class QueueAnswer(serializers.Serializer[Any]):
    """One queue now, and its latest runs."""

    queue = serializers.CharField()
    purpose = serializers.CharField()
    waiting = serializers.IntegerField(help_text="Could start now.")
    delayed = serializers.IntegerField(help_text="Were asked to start later.")
    running = serializers.IntegerField()
    retrying = serializers.IntegerField(help_text="Wait out a backoff, a throttle or a snooze.")
    isExact = serializers.BooleanField(help_text="False: the counts are lower bounds.")
    oldestAgeMs = serializers.IntegerField(
        help_text="For how long the job that could have started longest ago has not."
    )
    isPaused = serializers.BooleanField()
    pausedAt = serializers.DateTimeField(allow_null=True)
    resumeAt = serializers.DateTimeField(
        allow_null=True, help_text="When the pause ends by itself; null if it does not."
    )
    runs = serializers.IntegerField(help_text="Runs the times below are taken from.")
    waitP50Ms = serializers.IntegerField(
        allow_null=True, help_text="From creation to the start of the first run."
    )
    waitP95Ms = serializers.IntegerField(allow_null=True)
    runP50Ms = serializers.IntegerField(allow_null=True)
    runP95Ms = serializers.IntegerField(allow_null=True)


class QueuePage(serializers.Serializer[Any]):
    """Every queue."""

    items = QueueAnswer(many=True)
    countMax = serializers.IntegerField(help_text="Nothing is counted beyond this.")
    windowS = serializers.IntegerField()


class PauseOrder(StrictSerializer):
    """Why a queue is paused, and for how long."""

    reason = TextField(max_length=500, help_text="Kept with the pause and in the audit events.")
    forS = NumberField(
        source="for_s",
        required=False,
        min_value=1,
        max_value=FOR_MAX_S,
        help_text="Seconds after which it ends by itself; left out, it does not.",
    )


class PauseAnswer(serializers.Serializer[Any]):
    """A pause."""

    example = examples.PAUSED.value

    queue = serializers.CharField()
    isPaused = serializers.BooleanField()
    pausedAt = serializers.DateTimeField()
    pausedBy = serializers.CharField()
    reason = serializers.CharField()
    resumeAt = serializers.DateTimeField(allow_null=True)


class QueueList(APIView):
    """The queues of the platform."""

    scopes = {"GET": "queues:read"}

    @extend_schema(parameters=[QueueQuery], responses=QueuePage, examples=[examples.QUEUES])
    def get(self, request: Request) -> Response:
        """Show depth, age, times and pause of every queue."""
        window_s = read(QueueQuery, request.query_params)["window_s"]
        standing, times = pauses(), queue_times(window_s=window_s)
        items = [
            _describe(facts, times[facts.queue], standing.get(facts.queue))
            for facts in queue_facts()
        ]
        page = {"items": items, "countMax": COUNT_MAX, "windowS": window_s}
        return Response(QueuePage(page).data)


class QueuePauseView(APIView):
    """Hold a queue."""

    scopes = {"POST": "queues:manage"}
    refusals = {"POST": (QueueNotFound, QueueAlreadyPaused, ReasonRequired)}

    @extend_schema(
        parameters=[QUEUE],
        request=PauseOrder,
        responses=PauseAnswer,
        examples=[examples.PAUSE, examples.PAUSED],
    )
    def post(self, request: Request, queue: str) -> Response:
        """Pause a queue: its jobs are accepted and wait; those that run go on."""
        order = read(PauseOrder, request.data)
        pause = pause_queue(queue=queue, actor=caller_of(request).actor, **order)
        return Response(_told(pause, is_paused=True))


class QueueResumeView(APIView):
    """Let a queue go."""

    scopes = {"POST": "queues:manage"}
    refusals = {"POST": (QueueNotFound, QueueNotPaused)}

    @extend_schema(parameters=[QUEUE], request=None, responses=PauseAnswer)
    def post(self, request: Request, queue: str) -> Response:
        """Resume a queue; the answer is the pause that has ended."""
        pause = resume_queue(queue=queue, actor=caller_of(request).actor)
        return Response(_told(pause, is_paused=False))


def _told(pause: QueuePause, *, is_paused: bool) -> dict[str, Any]:
    told = {
        "queue": pause.queue,
        "isPaused": is_paused,
        "pausedAt": pause.paused_at,
        "pausedBy": pause.paused_by,
        "reason": pause.reason,
        "resumeAt": pause.resume_at,
    }
    return dict(PauseAnswer(told).data)


def _describe(facts: QueueFacts, times: QueueTimes, pause: QueuePause | None) -> dict[str, Any]:
    return {
        "queue": facts.queue,
        "purpose": QUEUES[facts.queue].purpose,
        "waiting": facts.waiting,
        "delayed": facts.delayed,
        "running": facts.running,
        "retrying": facts.retrying,
        "isExact": facts.is_exact,
        "oldestAgeMs": _ms(facts.oldest_age_s),
        "isPaused": pause is not None,
        "pausedAt": pause and pause.paused_at,
        "resumeAt": pause and pause.resume_at,
        **_latest(times),
    }


def _latest(times: QueueTimes) -> dict[str, int | None]:
    return {
        "runs": times.runs,
        "waitP50Ms": _ms(times.wait_p50_s),
        "waitP95Ms": _ms(times.wait_p95_s),
        "runP50Ms": _ms(times.run_p50_s),
        "runP95Ms": _ms(times.run_p95_s),
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
