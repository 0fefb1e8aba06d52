"""The one shape of every refusal (E-02)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse

from jobs.errors import Refusal
from jobs.trace import current_trace

# Pages for people keep HTML; everything else is an API and answers with the envelope.
HTML_PREFIXES = ("/admin", "/static/", "/sites/")


def speaks_json(path: str) -> bool:
    """Tell whether errors at this path are given as the envelope."""
    return not path.startswith(HTML_PREFIXES)


def envelope(refusal: Refusal) -> dict[str, Any]:
    """Return the body of a refusal, with the ids of the request being answered."""
    trace = current_trace()
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "error": refusal.code,
        "message": refusal.message,
        "data": refusal.data,
        "requestId": trace.request_id,
        "correlationId": trace.correlation_id,
        "timestamp": now,
    }


def answer(refusal: Refusal) -> HttpResponse:
    """Return the refusal as a response, for places outside of a DRF view."""
    body = json.dumps(envelope(refusal), cls=DjangoJSONEncoder).encode()
    return HttpResponse(
        body,
        content_type="application/json",
        status=refusal.status,
        headers={"Content-Length": str(len(body)), **refusal.headers},
    )
