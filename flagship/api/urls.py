"""Routes of flagship."""

from __future__ import annotations

from django.urls import URLPattern, path

from flagship.api.audit_events import AuditEventList
from flagship.api.documents import ErrorCatalogue, ErrorCode, SchemaView, documentation
from flagship.api.health import healthz, readyz
from flagship.api.idempotency import IdempotencyKeyDetail

urlpatterns: list[URLPattern] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("v1/errors", ErrorCatalogue.as_view(), name="error-catalogue"),
    path("v1/errors/<str:code>", ErrorCode.as_view(), name="error-code"),
    path("v1/schema", SchemaView.as_view(), name="schema"),
    path("v1/docs", documentation, name="docs"),
    path("v1/audit-events", AuditEventList.as_view(), name="audit-events"),
    path("v1/idempotency/<path:key>", IdempotencyKeyDetail.as_view(), name="idempotency-key"),
]
