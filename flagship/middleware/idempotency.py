"""One transaction per mutating request, and one effect per Idempotency-Key."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.idempotency import IdempotencyKeyRequired
from flagship.errors.requests import ValidationFailed
from flagship.errors.translate import refusal_for
from flagship.middleware.body import buffered_body
from flagship.middleware.routes import Route, current, is_mutation, route_of
from flagship.middleware.wall import known_caller_of, transaction_of
from flagship.models.idempotency import Claim, ClaimedKey, StoredAnswer
from flagship.selectors.caller import client_of, signature_use_of
from flagship.services.idempotency import (
    bare_key,
    cache_answer,
    cached_answer,
    claimed_key,
    is_key_required,
    make_claim,
    parse_key,
    store_answer,
)
from flagship.services.signature_uses import noting_replays, take_use
from jobs.errors import Refusal
from jobs.trace import current_trace

logger = logging.getLogger("flagship.idempotency")

KEPT_HEADERS = ("Content-Type", "Location", "ETag")

GetResponse = Callable[[HttpRequest], HttpResponse]


class IdempotencyMiddleware:
    """Runs the view of every mutating request of the API in one transaction (E-01).

    The transaction's first statement takes a lock on the key and its last inserts the answer, so
    the effect and the promise to replay it commit together: a killed request leaves neither.
    Anything but a 2xx rolls all of it back and is worked out again when the key returns. The body
    is read before the transaction opens, so that a slow sender holds no lock. Costs two
    statements, which travel with BEGIN and with COMMIT, and no call of Redis, which is asked for
    keys only that were replayed before.

    The nonce of a signed write is used up by the same first statement (E-06): the cache is not
    asked then, since a request sent again is refused before it is answered from anywhere.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, from the store where the key has been answered before."""
        if not is_mutation(request):
            return self.get_response(request)
        try:
            if client_of(request) is None:
                return self._once(request, None)
            use = signature_use_of(request)
            with buffered_body(request) as body_sha256, noting_replays(use=use):
                return self._once(request, claim_of(request, body_sha256))
        except (Refusal, Error, OSError) as error:
            return answer(refusal_for(error))

    def _once(self, request: HttpRequest, claim: Claim | None) -> HttpResponse:
        """Run the view in its transaction, unless its key has been answered."""
        use = signature_use_of(request)
        if claim is None:
            with transaction_of(request):
                if use:
                    take_use(use=use)
                return self._work(request)
        stored = None if use else cached_answer(claim=claim)
        if stored is not None:
            return replay(claim, stored, "cache")
        with claimed_key(claim=claim, use=use, known=known_caller_of(request)) as key:
            if key.answer is None:
                return store(claim, key, self._work(request))
        cache_answer(claim=claim, answer=key.answer)
        return replay(claim, key.answer, "database")

    def _work(self, request: HttpRequest) -> HttpResponse:
        """Run the view; all of it is undone unless it answers with a 2xx."""
        response = self.get_response(request)
        if not is_success(response):
            transaction.set_rollback(True)
        return response


def is_success(response: HttpResponse) -> bool:
    """Tell whether an answer is kept, and what it answers for with it."""
    return 200 <= response.status_code < 300


def store(claim: Claim, key: ClaimedKey, response: HttpResponse) -> HttpResponse:
    """Store a success under its key, and tell until when it is kept."""
    if is_success(response):
        store_answer(
            claim=claim,
            status=response.status_code,
            headers={name: response[name] for name in KEPT_HEADERS if name in response},
            body=response.content,
        )
        response["Idempotency-Expires"] = _written(key.expires_at)
    return response


def claim_of(request: HttpRequest, body_sha256: bytes) -> Claim | None:
    """Return the request's claim; None where it has no key, or would be refused anyway.

    Raises: IdempotencyKeyRequired; IdempotencyKeyMalformed; ValidationFailed.
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
        target=current(request.get_full_path()),
        media_type=request.content_type or "",
        body_sha256=body_sha256,
        request_id=current_trace().request_id,
    )


def _key_of(request: HttpRequest, route: Route) -> str | None:
    """Return the key in the header, or where the view takes it from there in the body.

    A body without a key, where there is none in the header, is left to the view to refuse.
    """
    header = request.headers.get("Idempotency-Key")
    body = _key_in_body(request) if route.is_key_in_body else None
    if header is None and body is None:
        is_required = is_key_required(path=request.path_info, method=str(request.method))
        if is_required and not route.is_key_in_body:
            raise IdempotencyKeyRequired
        return None
    key = parse_key(header=str(body) if header is None else header)
    if body is not None and bare_key(text=body) != key:
        raise ValidationFailed({"idempotencyKey": ["Must equal the Idempotency-Key header."]})
    return key


def _key_in_body(request: HttpRequest) -> str | None:
    """Return the key in a body that may carry it; one that is no text is the view's to refuse."""
    try:
        key = json.loads(request.body).get("idempotencyKey")
    except (ValueError, RecursionError, AttributeError):
        return None
    return key if isinstance(key, str) else None


def replay(claim: Claim, stored: StoredAnswer, source: str) -> HttpResponse:
    """Return the stored answer, marked, and log the hit with the first request's id."""
    age_s = max(0, round((datetime.now(UTC) - stored.created_at).total_seconds()))
    logger.info(
        "idempotency.replayed original_request_id=%s request_id=%s method=%s route=%s age_s=%d"
        " source=%s",
        stored.request_id,
        current_trace().request_id,
        claim.method,
        claim.route,
        age_s,
        source,
    )
    marks = {
        "Idempotency-Replayed": "true",
        "Idempotency-Original-Request-Id": stored.request_id,
        "Idempotency-Age": str(age_s),
        "Idempotency-Expires": _written(stored.expires_at),
    }
    return HttpResponse(stored.body, status=stored.status, headers={**stored.headers, **marks})


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_allowed(request: HttpRequest, route: Route) -> bool:
    """Tell whether the view would let this caller in; a stored answer is not for others."""
    method, client = str(request.method), client_of(request)
    scope = route.scope(method)
    if client is None or not route.takes(method):
        return False
    return scope is None or scope in client.scopes
