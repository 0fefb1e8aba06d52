"""Who is calling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.translate import refusal_for
from flagship.middleware.body import buffered_body
from flagship.middleware.routes import is_api, is_public
from flagship.selectors.api_keys import Credentials
from flagship.services.api_keys import LAST_USED_STEP, touch_api_key
from flagship.services.callers import Caller, judge, look_up
from flagship.services.known_callers import KnownCaller, forget, recall, remember
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
SIGNED = ("key_id", "timestamp", "nonce", "content_sha256", "signature")
MAY_BE_MISSING = ("content_type", "idempotency_key")
UNREAD = "\0"  # No shape has it.


class ApiKeyMiddleware:
    """Finds the client behind `Authorization: Bearer <API key>`, a signature, or both (F-01, E-05).

    A request without a valid key goes on as anonymous, and the view's permissions answer 401; so
    does one whose signature does not do for its client's stage, and SignatureMiddleware refuses
    it once it has been counted for its address. Stamps of last use are written outside of the
    request's transaction, so that they stay when the request is refused. Where no key is taken
    (`is_public`) none is looked at, nor any signature: whoever asks is anonymous.

    An API key that was looked up a moment ago is let on at once, and confirmed by the request's
    transaction as it begins (ADR 0021). An answer that no transaction confirmed is looked up after
    it; a request whose key is not what it was begins anew with what is found.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Attach the client to the request."""
        if not is_api(request) or is_public(request):
            return self.get_response(request)
        known = recall(bearer=bearer_of(request)) if may_be_asked_again(request) else None
        if known is None:
            return self._look_up_and_let_on(request)
        response = self._let_on(request, known.caller, known)
        if known.is_confirmed:
            return response
        return self._look_up_and_let_on(request, (known, response))

    def _look_up_and_let_on(
        self, request: HttpRequest, before: tuple[KnownCaller, HttpResponse] | None = None
    ) -> HttpResponse:
        """Answer a request whose caller is not known, or was and has not been confirmed (`before`).

        The answer it has is given where it is the looked-up caller's as well.
        """
        now = datetime.now(UTC)
        try:
            candidate = look_up(bearer=bearer_of(request), presented=presented_of(request), now=now)
            if candidate.needs_body:
                with buffered_body(request) as digest:
                    caller = judge(candidate=candidate, body_sha256=digest.hex(), now=now)
                    return self._let_on_stamped(request, caller, now)
            caller = judge(candidate=candidate, body_sha256=None, now=now)
            if before:
                known, response = before
                if known.is_still(caller):
                    return response
                forget(known=known)
            remember(caller=caller)
            return self._let_on_stamped(request, caller, now)
        except (Refusal, Error, OSError) as error:
            return answer(refusal_for(error))

    def _let_on_stamped(self, request: HttpRequest, caller: Caller, now: datetime) -> HttpResponse:
        if caller.credentials:
            _stamp(caller, caller.credentials, now)
        return self._let_on(request, caller, None)

    def _let_on(
        self, request: HttpRequest, caller: Caller, known: KnownCaller | None
    ) -> HttpResponse:
        """Hand the request on, with its client and with what is to be done about its signature."""
        setattr(request, "known_caller", known)  # noqa: B010 (read by middleware.wall)
        setattr(request, "api_client", caller.client)  # noqa: B010 (read by selectors.caller)
        setattr(request, "signature_use", caller.use)  # noqa: B010 (read by selectors.caller)
        setattr(request, "signature_incident", caller.incident)  # noqa: B010 (read there, too)
        setattr(request, "signature_refusal", caller.refusal)  # noqa: B010 (read there, too)
        return self.get_response(request)


def may_be_asked_again(request: HttpRequest) -> bool:
    """Tell whether the request proves nothing but its API key, and its body can be read twice."""
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    is_signed = any(HEADERS[field] in request.headers for field in SIGNED)
    return not is_signed and length <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE


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
