"""One transaction per mutating request, and one effect per Idempotency-Key."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.idempotency import IdempotencyKeyRequired
from flagship.errors.translate import refusal_for
from flagship.middleware.body import buffered_body
from flagship.middleware.routes import Route, is_mutation, route_of
from flagship.middleware.wall import transaction_of
from flagship.models.idempotency import StoredAnswer
from flagship.selectors.caller import client_of
from flagship.services.idempotency import (
    Claim,
    cached_answer,
    claim_key,
    is_key_required,
    make_claim,
    parse_key,
    store_answer,
)
from jobs.errors import Refusal
from jobs.trace import current_trace

logger = logging.getLogger("flagship.idempotency")

KEPT_HEADERS = ("Content-Type", "Location", "ETag")

GetResponse = Callable[[HttpRequest], HttpResponse]


class IdempotencyMiddleware:
    """Runs the view of every POST, PUT and PATCH of the API in one transaction (E-01).

    The key's row is the transaction's first statement and the answer its last, so the effect and
    the promise to replay it commit together: a killed request leaves neither. Anything but a 2xx
    rolls all of it back and is worked out again when the key returns. The body is read before
    the transaction opens, so that a slow sender holds no lock.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, from the store where the key has been answered before."""
        if not is_mutation(request):
            return self.get_response(request)
        try:
            if client_of(request) is None:
                return self._work(request, None)
            with buffered_body(request) as body_sha256:
                claim = claim_of(request, body_sha256)
                stored = cached_answer(claim=claim) if claim else None
                return replay(stored) if stored else self._work(request, claim)
        except (Refusal, Error, OSError) as error:
            return answer(refusal_for(error))

    def _work(self, request: HttpRequest, claim: Claim | None) -> HttpResponse:
        """Run the view in its transaction, unless the key turns out to be answered."""
        with transaction_of(request):
            stored = claim_key(claim=claim) if claim else None
            if stored:
                return replay(stored)
            response = self.get_response(request)
            if not 200 <= response.status_code < 300:
                transaction.set_rollback(True)
            elif claim:
                headers = {name: response[name] for name in KEPT_HEADERS if name in response}
                store_answer(
                    claim=claim,
                    status=response.status_code,
                    headers=headers,
                    body=response.content,
                )
        return response


def claim_of(request: HttpRequest, body_sha256: bytes) -> Claim | None:
    """Return the request's claim; None where it has no key, or would be refused anyway.

    Raises: IdempotencyKeyRequired; IdempotencyKeyMalformed.
    """
    route, client = route_of(request), client_of(request)
    if route is None or client is None or not _is_allowed(request, route):
        return None
    key = _key_of(request, route)
    if key is None:
        return None
    setattr(request, "idempotency_key", key)  # noqa: B010 (read by selectors.caller)
    return make_claim(
        organization_id=client.organization_id,
        method=str(request.method),
        route=route.pattern,
        key=key,
        target=request.get_full_path(),
        media_type=request.content_type or "",
        body_sha256=body_sha256,
        request_id=current_trace().request_id,
    )


def _key_of(request: HttpRequest, route: Route) -> str | None:
    """Return the key in the header, or where the view takes it from there in the body."""
    header = request.headers.get("Idempotency-Key")
    if header is None and route.is_key_in_body:
        header = _key_in_body(request)
    elif header is None and is_key_required(path=request.path_info):
        raise IdempotencyKeyRequired
    return None if header is None else parse_key(header=header)


def _key_in_body(request: HttpRequest) -> str | None:
    """Return the key in a body that may carry it; the view refuses a body without one."""
    try:
        key = json.loads(request.body).get("idempotencyKey")
    except (ValueError, RecursionError, AttributeError):
        return None
    return key if isinstance(key, str) else None


def replay(stored: StoredAnswer) -> HttpResponse:
    """Return the stored answer, marked, and log the hit with the first request's id."""
    logger.info(
        "idempotency.replayed original_request_id=%s request_id=%s",
        stored.request_id,
        current_trace().request_id,
    )
    return HttpResponse(
        stored.body,
        status=stored.status,
        headers={**stored.headers, "Idempotency-Replayed": "true"},
    )


def _is_allowed(request: HttpRequest, route: Route) -> bool:
    """Tell whether the view would let this caller in; a stored answer is not for others."""
    method, client = str(request.method), client_of(request)
    scope = route.scope(method)
    if client is None or not route.takes(method):
        return False
    return scope is None or scope in client.scopes
