"""One Idempotency-Key per reserve call, from the header or the body."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from flagship.errors import IdempotencyKeyRequired, ValidationFailed
from flagship.services.idempotency import parse_key


def idempotency_key(request: Request, body: dict[str, Any]) -> str:
    """Return the key of this request.

    Raises: IdempotencyKeyRequired with neither; IdempotencyKeyMalformed; ValidationFailed where
    header and body disagree.
    Source: seed 002 section 3 (idempotencyKey in the body), E-01.
    """
    keys = [
        parse_key(header=text)
        for text in (request.headers.get("Idempotency-Key"), body.get("idempotency_key"))
        if text is not None
    ]
    if not keys:
        raise IdempotencyKeyRequired
    if len(set(keys)) > 1:
        raise ValidationFailed({"idempotencyKey": ["Must equal the Idempotency-Key header."]})
    return keys[0]
