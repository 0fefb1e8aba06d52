"""Read audit events."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from flagship.models import AuditEvent


def list_audit_events(
    *,
    organization_id: uuid.UUID,
    action: str | None = None,
    subject_type: str | None = None,
    subject_id: str | None = None,
) -> QuerySet[AuditEvent]:
    """Return an organization's events, narrowed down by what is given."""
    wanted = {"action": action, "subject_type": subject_type, "subject_id": subject_id}
    given = {name: value for name, value in wanted.items() if value is not None}
    return AuditEvent.objects.for_organization(organization_id).filter(**given)
