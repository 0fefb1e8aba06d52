"""Which refusals an operation may answer with, said once for all of them (E-02, E-09)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

from flagship import errors
from flagship.selectors.routes import API_PREFIXES, MUTATING
from jobs.errors import Refusal

Refusals = tuple[type[Refusal], ...]

OF_ANY: Final[Refusals] = (
    errors.MalformedRequest,
    errors.NotAcceptable,
    errors.LengthRequired,
    errors.PayloadTooLarge,
    errors.UnsupportedMediaType,
    errors.ValidationFailed,
    errors.RateLimited,
    errors.InternalError,
    errors.ServiceUnavailable,
)
OF_A_KEY: Final[Refusals] = (errors.Unauthenticated, errors.Forbidden)
OF_A_SIGNATURE: Final[Refusals] = (
    errors.SignatureInvalid,
    errors.TimestampOutOfWindow,
    errors.NonceReplayed,
    errors.SignatureVersionRetired,
    errors.SignatureIncomplete,
)
"""Of a request with any part of a signature, on public paths too."""
OF_A_CHANGE: Final[Refusals] = (
    errors.Conflict,
    errors.ResourceBusy,
    errors.IdempotencyKeyMalformed,
    errors.IdempotencyKeyInUse,
    errors.IdempotencyKeyReused,
)
OF_A_BODY: Final[Refusals] = (errors.MalformedJson,)
RETRY_STATUSES: Final = (429, 503)
"""Those that always say when to come back."""


def refusals_of(
    *, method: str, path: str, is_public: bool, is_key_required: bool, own: Refusals, pages: bool
) -> dict[str, list[type[Refusal]]]:
    """Return the refusals of an operation by status: its view's own and those of the edge.

    `pages`: it takes a cursor. A view that names its own 404 has no other.
    """
    found = [*OF_ANY, *own]
    found += [] if is_public else OF_A_KEY
    found += OF_A_SIGNATURE if path.startswith(API_PREFIXES) else ()
    found += [errors.MalformedCursor] if pages else []
    found += OF_A_CHANGE if method in MUTATING else ()
    found += OF_A_BODY if method in MUTATING and method != "DELETE" else ()
    found += [errors.IdempotencyKeyRequired] if is_key_required else []
    if "{" in path and not any(refusal.status == 404 for refusal in own):
        found.append(errors.NotFound)
    by_status: dict[str, list[type[Refusal]]] = defaultdict(list)
    for refusal in dict.fromkeys(found):
        by_status[str(refusal.status)].append(refusal)
    return dict(by_status)


def describe(refusals: list[type[Refusal]]) -> str:
    """Return what the documentation says of one status."""
    return " ".join(f"`{refusal.code}`: {refusal.title}" for refusal in refusals)


def example_of(refusal: type[Refusal]) -> dict[str, Any]:
    """Return a refusal as the envelope has it."""
    return {
        "error": refusal.code,
        "message": refusal.title,
        "data": refusal.example,
        "requestId": "req_0193a1b2c3d474e5a60718293a4b5c6d",
        "correlationId": "nextjs_1735689600000_a1b2c3d4",
        "timestamp": "2026-01-15T10:30:00.000Z",
    }


def openapi_example(refusal: type[Refusal]) -> OpenApiExample:
    """Return the same for the documentation."""
    return OpenApiExample(
        refusal.code,
        value=example_of(refusal),
        response_only=True,
        status_codes=[str(refusal.status)],
    )
