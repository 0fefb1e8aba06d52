"""The platform's tables: who calls, what was answered, what was done."""

from __future__ import annotations

from flagship.models.api_key import ApiKey
from flagship.models.audit import AuditEvent
from flagship.models.idempotency import IdempotencyRecord
from flagship.models.limits import OrganizationLimits
from flagship.models.login import LoginLimit
from flagship.models.organization import Organization
from flagship.models.signature import (
    SignatureRollout,
    SignatureTally,
    SignatureUse,
    SigningKey,
)

__all__ = [
    "ApiKey",
    "AuditEvent",
    "IdempotencyRecord",
    "LoginLimit",
    "Organization",
    "OrganizationLimits",
    "SignatureRollout",
    "SignatureTally",
    "SignatureUse",
    "SigningKey",
]
