"""GET /v1/idempotency/{key}: what a key did, without sending anything again (E-01)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flagship.api import examples
from flagship.api.authentication import caller_of
from flagship.api.permissions import IsClient
from flagship.api.serializers import StrictSerializer
from flagship.errors.idempotency import IdempotencyKeyMalformed, IdempotencyKeyNotFound
from flagship.models.idempotency import StoredAnswer
from flagship.selectors.effects import find_effects
from flagship.selectors.idempotency import KeyUse, find_uses
from flagship.services.idempotency import parse_key

ANSWERED, WORKING = "answered", "working"
KEY = OpenApiParameter(
    "key",
    str,
    OpenApiParameter.PATH,
    description="The key as it was sent, percent-encoded.",
)


class UseSerializer(StrictSerializer):
    """A key at one method and path; all but the first three are null while it is at work."""

    method = serializers.CharField()
    path = serializers.CharField(help_text="With names in the place of ids.")
    state = serializers.ChoiceField(
        [ANSWERED, WORKING], help_text="`working`: a request with the key is in hand right now."
    )
    request_id = serializers.CharField(allow_null=True, help_text="Of the request that did it.")
    answered_at = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Until then the same request is given the same answer."
    )
    status = serializers.IntegerField(allow_null=True)
    location = serializers.CharField(allow_null=True)
    answer = serializers.JSONField(allow_null=True, help_text="The body that was answered.")


class EffectSerializer(StrictSerializer):
    """A thing the key has made; it bears the key for good."""

    subject_type = serializers.CharField()
    subject_id = serializers.CharField()
    created_at = serializers.DateTimeField()


class KeyAnswer(StrictSerializer):
    """What a key did, as far as the caller's scopes show it."""

    example = examples.KEY

    key = serializers.CharField()
    uses = UseSerializer(many=True)
    effects = EffectSerializer(
        many=True, help_text="Builds and reservations, also when the answer has gone."
    )


class IdempotencyKeyDetail(APIView):
    """One key of the caller's organization."""

    permission_classes = [IsClient]
    refusals = {"GET": (IdempotencyKeyMalformed, IdempotencyKeyNotFound)}

    @extend_schema(parameters=[KEY], responses=KeyAnswer)
    def get(self, request: Request, key: str) -> Response:
        """Tell what a key did; 404 means that it may be sent: it has had no effect."""
        caller, wanted = caller_of(request), parse_key(header=key)
        asked: dict[str, Any] = {
            "organization_id": caller.organization_id,
            "key": wanted,
            "scopes": caller.scopes,
        }
        uses, effects = find_uses(**asked), find_effects(**asked)
        if not uses and not effects:
            raise IdempotencyKeyNotFound
        told = {"key": wanted, "uses": [told_of(use) for use in uses], "effects": effects}
        return Response(KeyAnswer(told).data, headers={"Cache-Control": "private, no-store"})


def told_of(use: KeyUse) -> dict[str, Any]:
    """Return what is shown of a use."""
    kept = use.answer
    told: dict[str, Any] = {"method": use.method, "path": use.path}
    if kept is None:
        told |= {"state": WORKING, "request_id": None, "answered_at": None, "age_seconds": None}
        return told | {"expires_at": None, "status": None, "location": None, "answer": None}
    age = datetime.now(UTC) - kept.created_at
    return told | {
        "state": ANSWERED,
        "request_id": kept.request_id,
        "answered_at": kept.created_at,
        "age_seconds": max(0, round(age.total_seconds())),
        "expires_at": kept.expires_at,
        "status": kept.status,
        "location": kept.headers.get("Location"),
        "answer": json_of(kept),
    }


def json_of(kept: StoredAnswer) -> Any:
    """Return the body of an answer; every answer of the API that is kept is JSON or empty."""
    is_json = kept.headers.get("Content-Type", "").startswith("application/json")
    return json.loads(kept.body) if is_json and kept.body else None
