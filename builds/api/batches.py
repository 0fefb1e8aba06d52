"""/v1/builds/batch: many builds, all of them or none (B-07)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api import examples
from builds.api.serializers import BuildOrderSerializer, BuildSerializer
from builds.errors import (
    BatchExceedsMaxActive,
    BuildAlreadyRunning,
    BuilderOptionsInvalid,
    ProjectNotFound,
    SourceNotFound,
    UnknownBuilder,
)
from builds.services.batch import MAX_ITEMS, BatchItem, Placed, create_batch
from builds.services.submit import BuildOrder
from credits.errors import AccountNotFound, InsufficientCredits
from flagship.api.authentication import caller_of
from flagship.api.serializers import StrictSerializer, read_body
from flagship.errors.idempotency import IdempotencyKeyExpired
from flagship.selectors.caller import idempotency_key_of

CREATED, EXISTING = "created", "existing"


class BatchItemSerializer(BuildOrderSerializer):
    """One build of a batch; `key` makes it once, whatever batch or request it comes in."""

    key = serializers.RegexField(
        r"^[\x20-\x7e]{16,255}$",
        required=False,
        help_text="16 to 255 printable ASCII characters, like an Idempotency-Key.",
    )


class BatchOrderSerializer(StrictSerializer):
    """Builds to be made together."""

    example = examples.BATCH_ORDER

    items = serializers.ListField(
        child=BatchItemSerializer(), allow_empty=False, max_length=MAX_ITEMS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a batch in which two items are one."""
        keys = [item["key"] for item in attrs["items"] if "key" in item]
        if len(set(keys)) < len(keys):
            raise serializers.ValidationError({"items": ["No key may come twice."]})
        return attrs


class BatchItemAnswer(StrictSerializer):
    """What became of an item."""

    index = serializers.IntegerField(help_text="Its place in the request, from 0.")
    key = serializers.CharField(allow_null=True)
    outcome = serializers.ChoiceField(
        [CREATED, EXISTING], help_text="`existing`: its key has made this build before."
    )
    build = BuildSerializer()


class BatchAnswer(StrictSerializer):
    """What became of a batch; the items in the order of the request."""

    example = examples.BATCH

    items = BatchItemAnswer(many=True)
    created_count = serializers.IntegerField()
    existing_count = serializers.IntegerField()
    estimated_credits = serializers.IntegerField(help_text="Held for the builds created now.")


class BuildBatch(APIView):
    """Many builds at once."""

    scopes = {"POST": "builds:write"}
    refusals = {
        "POST": (
            ProjectNotFound,
            SourceNotFound,
            UnknownBuilder,
            BuilderOptionsInvalid,
            BatchExceedsMaxActive,
            BuildAlreadyRunning,
            InsufficientCredits,
            AccountNotFound,
            IdempotencyKeyExpired,
        )
    }

    @extend_schema(request=BatchOrderSerializer, responses={202: BatchAnswer})
    def post(self, request: Request) -> Response:
        """Submit builds: all are queued, each with credits of its own, or none is.

        The error of a refusal is that of the first item refused; `data.items` names all of them.
        """
        items = [item_of(given) for given in read_body(BatchOrderSerializer, request)["items"]]
        placed = create_batch(
            organization_id=caller_of(request).organization_id,
            items=items,
            actor=caller_of(request).actor,
            idempotency_key=idempotency_key_of(request._request) or "",
        )
        return Response(BatchAnswer(answer_of(items, placed)).data, status=202)


def item_of(given: dict[str, Any]) -> BatchItem:
    """Return an item of a request."""
    order = {name: value for name, value in given.items() if name != "key"}
    return BatchItem(BuildOrder(**order), given.get("key", ""))


def answer_of(items: list[BatchItem], placed: list[Placed]) -> dict[str, Any]:
    """Return what the answer shows."""
    created = [each.build for each in placed if each.is_new]
    return {
        "items": [
            {
                "index": index,
                "key": item.key or None,
                "outcome": CREATED if each.is_new else EXISTING,
                "build": each.build,
            }
            for index, (item, each) in enumerate(zip(items, placed, strict=True))
        ],
        "created_count": len(created),
        "existing_count": len(placed) - len(created),
        "estimated_credits": sum(build.estimated_credits for build in created),
    }
