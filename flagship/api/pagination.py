"""Cursor pages: newest first, stable while rows come and go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flagship.api.serializers import StrictSerializer
from flagship.errors.requests import MalformedCursor, ValidationFailed


class CursorPage(BasePagination):
    """Pages of a list by primary key, which is time-ordered everywhere here.

    `?limit=` from 1 to 100, 50 by default; `?cursor=` takes the `nextCursor` of the page before.
    The answer is `{"items": [...], "nextCursor": "..." or null}`. A page costs one indexed query,
    however deep it is.
    """

    default_limit = 50
    largest_limit = 100

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Return the rows of the page asked for.

        Raises: MalformedCursor; ValidationFailed for a limit out of range.
        """
        limit = self._limit(request)
        text = request.query_params.get("cursor", "")
        if text:
            queryset = queryset.filter(pk__lt=decode_cursor(queryset.model, text))
        rows = list(queryset.order_by("-pk")[: limit + 1])
        self.next_cursor = encode_cursor(rows[limit - 1]) if len(rows) > limit else None
        return rows[:limit]

    def answer(self, serializer: type[StrictSerializer], rows: Sequence[Any]) -> Response:
        """Return the page's answer, its rows written by `serializer`."""
        return self.get_paginated_response(serializer(rows, many=True).data)

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page's answer."""
        return Response({"items": data, "nextCursor": self.next_cursor})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the page for OpenAPI."""
        return {
            "type": "object",
            "required": ["items", "nextCursor"],
            "properties": {
                "items": schema,
                "nextCursor": {
                    "type": "string",
                    "nullable": True,
                    "description": "Null on the last page.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the query parameters for OpenAPI."""
        limits = {"minimum": 1, "maximum": self.largest_limit, "default": self.default_limit}
        return [
            {"name": "cursor", "in": "query", "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "schema": {"type": "integer", **limits}},
        ]

    def _limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.default_limit))
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= limit <= self.largest_limit:
            told = f"Must be a whole number from 1 to {self.largest_limit}."
            raise ValidationFailed({"limit": [told]})
        return limit


def encode_cursor(row: Model) -> str:
    """Return the cursor that continues after this row."""
    return base64.urlsafe_b64encode(str(row.pk).encode()).decode().rstrip("=")


def decode_cursor(model: type[Model], text: str) -> Any:
    """Return the primary key in a cursor.

    Raises: MalformedCursor.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        inner = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        key = model._meta.pk.to_python(inner)
    except (ValueError, binascii.Error, ValidationError) as error:
        raise MalformedCursor from error
    if encode_cursor(model(pk=key)) != text or len(text) > 100:
        raise MalformedCursor
    return key
