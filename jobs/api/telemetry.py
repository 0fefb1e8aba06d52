"""GET /v1/telemetry and /v1/telemetry/stream (O-02)."""

from __future__ import annotations

import re
import uuid
from typing import Any, Protocol, cast

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import examples
from jobs.api.requests import StrictSerializer
from jobs.api.sse import EventStreamRenderer, respond
from jobs.api.telemetry_stream import describe, written
from jobs.errors import StreamElsewhere, TooManyStreams
from jobs.telemetry import Wanted, current_sink, list_events

STREAM_PATH = "/v1/telemetry/stream"
PLATFORM_SCOPE = "workers:read"
"""What a key needs to see the events of no organization: those of workers and of the engine."""

_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*(\.\*)?")
_LARGEST = 2**63 - 1


class Caller(Protocol):
    """What the edge knows about who is calling."""

    organization_id: uuid.UUID
    api_key_id: uuid.UUID
    scopes: frozenset[str]


class StreamQuery(StrictSerializer):
    """What a stream can be narrowed down by."""

    name = serializers.CharField(
        required=False,
        max_length=100,
        help_text="A name, or `job.*` for all names that begin so.",
    )
    after = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=_LARGEST,
        help_text="Begin behind this sequence; without it, with what comes from now on."
        " Last-Event-ID, where sent, wins.",
    )

    def validate_name(self, name: str) -> str:
        """Refuse what no event is called. Raises: ValidationError."""
        if not _NAME.fullmatch(name):
            raise serializers.ValidationError("Must be a name like job.dead or job.*.")
        return name


class TelemetryQuery(StreamQuery):
    """What events can be narrowed down by."""

    after = None  # type: ignore[assignment]  # of the stream only
    since = serializers.IntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=_LARGEST,
        help_text="Only events with a greater sequence.",
    )
    cursor = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=_LARGEST,
        help_text="`nextCursor` of the page before.",
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100)


class TelemetryEventAnswer(serializers.Serializer[Any]):
    """One event."""

    sequence = serializers.IntegerField()
    name = serializers.CharField()
    at = serializers.DateTimeField()
    isPlatform = serializers.BooleanField(help_text="It belongs to no organization.")
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.source
        allow_null=True, help_text="The process that published it; null without `workers:read`."
    )
    requestId = serializers.CharField()
    correlationId = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not Serializer.data


class TelemetryPage(serializers.Serializer[Any]):
    """One page of events, newest first."""

    example = examples.TELEMETRY

    items = TelemetryEventAnswer(many=True)
    nextCursor = serializers.CharField(allow_null=True)
    lastSequence = serializers.IntegerField(
        help_text="Where all events end now: follow the stream from here and miss nothing."
    )
    streamUrl = serializers.CharField()


class TelemetryList(APIView):
    """What has happened lately, as far as the key may see it."""

    scopes = {"GET": "telemetry:read"}

    @extend_schema(parameters=[TelemetryQuery], responses=TelemetryPage)
    def get(self, request: Request) -> Response:
        """List events, newest first."""
        query = _validated(TelemetryQuery(data=request.query_params))
        wanted, limit = _wanted(request, query), query["limit"]
        # Read first: an event that comes in between is then behind it and not lost to a stream.
        last = current_sink().bounds()[1]
        found = list_events(
            wanted=wanted, since=query["since"], before=query.get("cursor"), limit=limit + 1
        )
        following = str(found[limit - 1].sequence) if len(found) > limit else None
        answer = {
            "items": [describe(event, wanted) for event in found[:limit]],
            "nextCursor": following,
            "lastSequence": last,
            "streamUrl": f"{settings.STREAMS_URL}{STREAM_PATH}",
        }
        return Response(answer)


class TelemetryStream(APIView):
    """What happens, as it happens."""

    scopes = {"GET": "telemetry:read"}
    refusals = {"GET": (StreamElsewhere, TooManyStreams)}
    renderer_classes = [EventStreamRenderer]

    @extend_schema(
        parameters=[
            StreamQuery,
            OpenApiParameter("Last-Event-ID", OpenApiTypes.INT, OpenApiParameter.HEADER),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, "Server-sent events.", examples=[examples.TELEMETRY_STREAM]
            )
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Follow events from now on, or from behind a sequence."""
        query = _validated(StreamQuery(data=request.query_params))
        after = _last_event_id(request, query.get("after"))
        if not isinstance(request._request, ASGIRequest):
            path = "?".join(filter(None, [STREAM_PATH, request.query_params.urlencode()]))
            raise StreamElsewhere(f"{settings.STREAMS_URL}{path}")
        key = cast(Caller, request.auth).api_key_id
        return respond(written(_wanted(request, query), after), key=key)


def _wanted(request: Request, query: dict[str, Any]) -> Wanted:
    """Return what this key may see of what it asks for."""
    caller = cast(Caller, request.auth)
    return Wanted(
        organization_id=caller.organization_id,
        platform=PLATFORM_SCOPE in caller.scopes,
        name=query.get("name", ""),
    )


def _last_event_id(request: Request, otherwise: int | None) -> int | None:
    """Read the position a reader resumes from. Raises: ValidationError."""
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST):
        raise serializers.ValidationError({"Last-Event-ID": ["Must be an id of this stream."]})
    return int(text)


def _validated(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
