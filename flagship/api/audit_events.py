"""GET /v1/audit-events."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flagship.api import examples
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.schema import page_of
from flagship.api.serializers import PageQuery, StrictSerializer, read_query
from flagship.selectors.audit import list_audit_events
from jobs.ids import public_id


class AuditEventSerializer(StrictSerializer):
    """An audit event as clients see it."""

    example = examples.AUDIT_EVENT

    id = serializers.SerializerMethodField()
    action = serializers.CharField()
    subject_type = serializers.CharField()
    subject_id = serializers.CharField()
    actor = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not Serializer.data
    request_id = serializers.CharField()
    correlation_id = serializers.CharField()
    occurred_at = serializers.DateTimeField()

    def get_id(self, event: Any) -> str:
        """Return the public id."""
        return public_id("evt", event.id)


class AuditEventQuery(PageQuery):
    """What audit events can be narrowed down by."""

    action = serializers.CharField(required=False, max_length=100)
    subject_type = serializers.CharField(required=False, max_length=50)
    subject_id = serializers.CharField(required=False, max_length=100)


class AuditEventList(APIView):
    """What was done in the caller's organization, newest first."""

    scopes = {"GET": "audit:read"}

    @extend_schema(parameters=[AuditEventQuery], responses=page_of(AuditEventSerializer))
    def get(self, request: Request) -> Response:
        """List audit events."""
        found = list_audit_events(
            organization_id=caller_of(request).organization_id,
            **read_query(AuditEventQuery, request),
        )
        page = CursorPage()
        rows = page.paginate_queryset(found, request, self)
        return page.answer(AuditEventSerializer, rows)
