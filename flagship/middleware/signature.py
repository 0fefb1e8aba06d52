"""What a request's signature came to is acted on here, within the request's rates."""

from __future__ import annotations

from collections.abc import Callable

from django.db import Error
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.translate import refusal_for
from flagship.middleware.routes import is_mutation
from flagship.selectors.caller import (
    signature_incident_of,
    signature_refusal_of,
    signature_use_of,
)
from flagship.services.signature_incidents import note_incident
from flagship.services.signature_uses import take_use_at_once
from jobs.errors import Refusal


class SignatureMiddleware:
    """Notes what must not happen, refuses what does not hold, takes nonces of reads (E-05, E-06).

    Stands behind the limiter: whoever sends forgeries by the thousand is refused for their number,
    and writes nothing. The nonce of a write is taken by the transaction of the work.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request whose signature does not do; let any other on."""
        try:
            settle(request)
        except (Refusal, Error) as error:
            return answer(refusal_for(error))
        return self.get_response(request)


def settle(request: HttpRequest) -> None:
    """Do what a signature asks for before any work.

    Raises: Refusal for a signature that does not do; NonceReplayed; django.db.Error.
    """
    incident, refusal = signature_incident_of(request), signature_refusal_of(request)
    if incident is not None:
        note_incident(incident=incident)
    if refusal is not None:
        raise refusal
    use = signature_use_of(request)
    if use is not None and not is_mutation(request):
        take_use_at_once(use=use)
