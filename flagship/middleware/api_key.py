"""Who is calling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.db import Error
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.translate import refusal_for
from flagship.middleware.body import buffered_body
from flagship.middleware.routes import is_api, is_public
from flagship.selectors.api_keys import Credentials
from flagship.services.api_keys import LAST_USED_STEP, touch_api_key
from flagship.services.callers import Caller, judge, look_up
from flagship.services.signing_keys import touch_signer
from flagship.signatures import Presented
from jobs.errors import Refusal

HEADERS = {
    "content_type": "Content-Type",
    "idempotency_key": "Idempotency-Key",
    "key_id": "X-Key-Id",
    "timestamp": "X-Timestamp",
    "nonce": "X-Nonce",
    "content_sha256": "X-Content-SHA256",
    "signature": "X-Signature",
}
MAY_BE_MISSING = ("content_type", "idempotency_key")
UNREAD = "\0"  # No shape has it.


class ApiKeyMiddleware:
    """Finds the client behind `Authorization: Bearer <API key>`, a signature, or both (F-01, E-05).

    A request without a valid key goes on as anonymous, and the view's permissions answer 401; so
    does one whose signature does not do for its client's stage, and SignatureMiddleware refuses
    it once it has been counted for its address. Stamps of last use are written outside of the
    request's transaction, so that they stay when the request is refused. Where no key is taken
    (`is_public`) none is looked at, nor any signature: whoever asks is anonymous.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Attach the client to the request."""
        if not is_api(request) or is_public(request):
            return self.get_response(request)
        now = datetime.now(UTC)
        try:
            candidate = look_up(bearer=bearer_of(request), presented=presented_of(request), now=now)
            if not candidate.needs_body:
                caller = judge(candidate=candidate, body_sha256=None, now=now)
                return self._let_on(request, caller, now)
            with buffered_body(request) as digest:
                caller = judge(candidate=candidate, body_sha256=digest.hex(), now=now)
                return self._let_on(request, caller, now)
        except (Refusal, Error, OSError) as error:
            return answer(refusal_for(error))

    def _let_on(self, request: HttpRequest, caller: Caller, now: datetime) -> HttpResponse:
        """Hand the request on, with its client and with what is to be done about its signature."""
        setattr(request, "api_client", caller.client)  # noqa: B010 (read by selectors.caller)
        setattr(request, "signature_use", caller.use)  # noqa: B010 (read by selectors.caller)
        setattr(request, "signature_incident", caller.incident)  # noqa: B010 (read there, too)
        setattr(request, "signature_refusal", caller.refusal)  # noqa: B010 (read there, too)
        if caller.credentials:
            _stamp(caller, caller.credentials, now)
        return self.get_response(request)


def bearer_of(request: HttpRequest) -> str | None:
    """Return the API key as presented; None where there is no such header."""
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else None


def presented_of(request: HttpRequest) -> Presented:
    """Return the request as it was sent, before Django has put anything in order.

    The server hands on a header as empty that holds a byte beyond ASCII. Nobody signed that byte,
    so an empty header is none of those that may be missing.
    """
    meta = request.META
    headers = {field: request.headers.get(name, "") for field, name in HEADERS.items()}
    for field in MAY_BE_MISSING:
        if HEADERS[field] in request.headers and not headers[field]:
            headers[field] = UNREAD
    return Presented(
        method=str(meta.get("REQUEST_METHOD", "")),
        host=str(meta.get("HTTP_HOST", "")),
        path=request.path,
        query=str(meta.get("QUERY_STRING", "")),
        **headers,
    )


def _stamp(caller: Caller, credentials: Credentials, now: datetime) -> None:
    """Keep the times of last use within a minute of the truth, without a write per request."""
    last = credentials.last_used_at
    if last is None or now - last > LAST_USED_STEP:
        touch_api_key(
            organization_id=credentials.organization_id, api_key_id=credentials.api_key_id
        )
    if caller.use:
        touch_signer(credentials=credentials, proof=caller.use.proof, now=now)
