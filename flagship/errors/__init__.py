"""Every way the edge refuses, and the one shape in which it says so (E-02, E-03)."""

from __future__ import annotations

from flagship.errors.access import (
    ApiKeyAlreadyBlocked,
    ApiKeyNotFound,
    Forbidden,
    LoginBlocked,
    OrganizationNotFound,
    Unauthenticated,
)
from flagship.errors.idempotency import (
    IdempotencyKeyExpired,
    IdempotencyKeyInUse,
    IdempotencyKeyMalformed,
    IdempotencyKeyNotFound,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
)
from flagship.errors.outgoing import (
    AddressNotAllowed,
    RemoteAnswerRefused,
    RemoteUnreachable,
    UrlNotAllowed,
)
from flagship.errors.requests import (
    LengthRequired,
    MalformedCursor,
    MalformedJson,
    MalformedRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    UnsupportedMediaType,
    ValidationFailed,
)
from flagship.errors.server import (
    Conflict,
    InternalError,
    NotReady,
    ResourceBusy,
    ServiceUnavailable,
)

__all__ = [
    "AddressNotAllowed",
    "ApiKeyAlreadyBlocked",
    "ApiKeyNotFound",
    "Conflict",
    "Forbidden",
    "IdempotencyKeyExpired",
    "IdempotencyKeyInUse",
    "IdempotencyKeyMalformed",
    "IdempotencyKeyNotFound",
    "IdempotencyKeyRequired",
    "IdempotencyKeyReused",
    "InternalError",
    "LengthRequired",
    "LoginBlocked",
    "MalformedCursor",
    "MalformedJson",
    "MalformedRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "NotReady",
    "OrganizationNotFound",
    "PayloadTooLarge",
    "RateLimited",
    "RemoteAnswerRefused",
    "RemoteUnreachable",
    "ResourceBusy",
    "ServiceUnavailable",
    "Unauthenticated",
    "UnsupportedMediaType",
    "UrlNotAllowed",
    "ValidationFailed",
]
