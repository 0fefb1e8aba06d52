"""Who is calling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.db import Error
from django.http import HttpRequest, HttpResponse

from flagship.errors.envelope import answer
from flagship.errors.translate import refusal_for
from flagship.middleware.routes import is_api
from flagship.selectors.api_keys import ApiClient, find_api_client
from flagship.services.api_keys import LAST_USED_STEP, touch_api_key


class ApiKeyMiddleware:
    """Finds the client behind `Authorization: Bearer <API key>` (F-01).

    Decides nothing: a request without a valid key goes on as anonymous, and the view's
    permissions answer 401. Runs outside the request's transaction, so that the stamp of last use
    stays when the request is refused.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Attach the client to the request."""
        if not is_api(request):
            return self.get_response(request)
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            try:
                client = find_api_client(presented=presented.strip())
                _stamp(client)
            except Error as error:
                return answer(refusal_for(error))
            setattr(request, "api_client", client)  # noqa: B010 (read by selectors.caller)
        return self.get_response(request)


def _stamp(client: ApiClient | None) -> None:
    """Keep last_used_at within a minute of the truth, without a write per request."""
    if client is None:
        return
    last = client.last_used_at
    if last is None or datetime.now(UTC) - last > LAST_USED_STEP:
        touch_api_key(organization_id=client.organization_id, api_key_id=client.api_key_id)
