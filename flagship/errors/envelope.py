"""The one shape of every refusal (E-02), or problem details where asked for (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse

from jobs.errors import Refusal
from jobs.trace import current_trace

# Pages for people keep HTML; everything else is an API and answers with the envelope.
HTML_PREFIXES = ("/admin", "/static/", "/sites/")
ENVELOPE: Final = "application/json"
PROBLEM: Final = "application/problem+json"
CATALOGUE: Final = "/v1/errors"
LONGEST_ACCEPT: Final = 8192

_media_type: ContextVar[str] = ContextVar("media type of refusals", default=ENVELOPE)


def speaks_json(path: str) -> bool:
    """Tell whether errors at this path are given as the envelope."""
    return not path.startswith(HTML_PREFIXES)


@contextmanager
def bind_media_type(accept: str) -> Iterator[None]:
    """Answer refusals in this context as the request's Accept header asks for."""
    token = _media_type.set(PROBLEM if wants_problem(accept) else ENVELOPE)
    try:
        yield
    finally:
        _media_type.reset(token)


def wants_problem(accept: str) -> bool:
    """Tell whether an Accept header names problem+json, and does not like plain JSON better."""
    weights: dict[str, float] = {}
    for part in accept[:LONGEST_ACCEPT].split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[name] = min((_weight(each) for each in parameters), default=1.0)
    return weights.get(PROBLEM, 0.0) > 0 and weights[PROBLEM] >= weights.get(ENVELOPE, 0.0)


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


def problem(refusal: Refusal) -> dict[str, Any]:
    """Return the same as problem details: the standard's members beside those of the envelope."""
    told = envelope(refusal)
    return {
        "type": f"{settings.PUBLIC_URL}{CATALOGUE}/{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.message,
        "instance": f"urn:flagship:request:{told['requestId']}",
        "nextStep": refusal.next_step,
        **told,
    }


def answer(refusal: Refusal) -> HttpResponse:
    """Return the refusal as a response, in the shape the request asks for."""
    media_type = _media_type.get()
    told = problem(refusal) if media_type == PROBLEM else envelope(refusal)
    body = json.dumps(told, cls=DjangoJSONEncoder).encode()
    return HttpResponse(
        body,
        content_type=media_type,
        status=refusal.status,
        headers={"Content-Length": str(len(body)), "Vary": "Accept", **refusal.headers},
    )


def is_answer(content_type: str) -> bool:
    """Tell whether a response of this Content-Type is in one of the two shapes."""
    return content_type.partition(";")[0] in {ENVELOPE, PROBLEM}


def _weight(parameter: str) -> float:
    """Return the weight in a parameter `q=`; 1 for any other and for what is no number."""
    name, _, text = parameter.partition("=")
    try:
        return float(text) if name.strip() == "q" else 1.0
    except ValueError:
        return 1.0
