"""Changes that hold only for the state of things the caller has seen (RFC 9110, If-Match)."""

from __future__ import annotations

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from flagship.errors.requests import ValidationFailed


def read_if_match(request: Request) -> frozenset[str] | None:
    """Return the ETags of which the subject must have one; None where any state will do.

    Raises: ValidationFailed for what is no list of ETags.
    """
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    tags = parse_etags(text)
    if not tags:
        raise ValidationFailed({"If-Match": ["Must be ETags in double quotes, or *."]})
    return frozenset(tags)


def if_match_parameter() -> OpenApiParameter:
    """Describe the header for OpenAPI."""
    return OpenApiParameter(
        "If-Match",
        str,
        OpenApiParameter.HEADER,
        required=False,
        description="The ETag that was read, or `*` for any state.",
    )


def etag_parameter(*statuses: int) -> OpenApiParameter:
    """Describe the ETag of an answer for OpenAPI."""
    return OpenApiParameter(
        "ETag",
        str,
        OpenApiParameter.HEADER,
        response=list(statuses),
        description="The state of what is answered, for `If-Match`.",
    )
