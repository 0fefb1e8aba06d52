"""How many requests an address, an organization, a key and a user may make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from django.db import Error
from django.http import HttpRequest, HttpResponse

from flagship.clients.limiter import Demand, Level, limiter
from flagship.errors.envelope import answer, speaks_json
from flagship.errors.requests import RateLimited
from flagship.errors.translate import refusal_for
from flagship.middleware.routes import is_api
from flagship.selectors.addresses import address_of, subscriber_of
from flagship.selectors.api_keys import ApiClient
from flagship.selectors.caller import client_of
from flagship.selectors.limits import OwnLimits, own_limits, quota_of

EXEMPT: Final = frozenset(
    {"/healthz", "/readyz", "/metrics", "/v1/worker/health", "/api/worker/health"}
)
USER_HEADER: Final = "X-User-Id"

Wanted = Iterator[tuple[str, str]]


class RateLimitMiddleware:
    """Refuses what is over a quota with 429 before any work is begun (E-07, P30).

    All quotas of a request are asked at once and counted together or not at all: what is refused
    costs nothing. Every answer of a limited route tells the policies and what is left of them, in
    the fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers-11).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Count the request and let it on, or refuse it."""
        try:
            demands = demands_of(request)
        except Error as error:
            if not speaks_json(request.path_info):
                raise
            return answer(refusal_for(error))
        if not demands:
            return self.get_response(request)
        levels = limiter().take(demands)
        exceeded = [level for level in levels if level.is_exceeded]
        response = refuse(request, exceeded) if exceeded else self.get_response(request)
        response.headers["RateLimit-Policy"] = policy_field(levels)
        # Of a refusal only what was exceeded: Retry-After then is the end of each window told.
        response.headers["RateLimit"] = limit_field(exceeded or levels)
        return response


def demands_of(request: HttpRequest) -> list[Demand]:
    """Return the quotas a request counts for, none where it is exempt or all of them are off."""
    if request.path_info in EXEMPT:
        return []
    client, own = client_of(request), OwnLimits({})
    if client is not None:
        own = own_limits(organization_id=client.organization_id)
    wanted = [(policy, subject, quota_of(policy, own)) for policy, subject in _subjects(request)]
    if client is not None and "ip" in own.quotas:
        # Another quota than everybody's: counted apart from theirs.
        apart = str(client.organization_id)
        wanted = [(p, f"{s}:{apart}" if p == "ip" else s, q) for p, s, q in wanted]
    return [Demand(policy, subject, quota) for policy, subject, quota in wanted if quota]


def refuse(request: HttpRequest, exceeded: Sequence[Level]) -> HttpResponse:
    """Return the refusal, for the quota that is full for longest."""
    level = max(exceeded, key=lambda each: each.wait_s)
    told = {
        "policy": level.policy,
        "limit": level.quota.requests,
        "windowS": level.quota.window_s,
        "used": level.used,
        "remaining": level.remaining,
        "retryAfterS": level.wait_s,
    }
    message = (
        f"{level.used} of {level.quota.requests} requests in {level.quota.window_s} s are used"
        f" ({level.policy})."
    )
    headers = {"Retry-After": str(level.wait_s)}
    if speaks_json(request.path_info):
        return answer(RateLimited(message, data=told, headers=headers))
    return HttpResponse(message + "\n", status=429, content_type="text/plain", headers=headers)


def policy_field(levels: Sequence[Level]) -> str:
    """Write the policies: `"ip";q=3000;w=60, "key";q=1200;w=60`."""
    quotas = [(level.policy, level.quota) for level in levels]
    return ", ".join(f'"{name}";q={quota.requests};w={quota.window_s}' for name, quota in quotas)


def limit_field(levels: Sequence[Level]) -> str:
    """Write what is left of them, and for how long there will be no more: `"key";r=12;t=3`."""
    return ", ".join(f'"{each.policy}";r={each.remaining};t={each.wait_s}' for each in levels)


def _subjects(request: HttpRequest) -> Wanted:
    """Yield each policy a request falls under, and for whom it is counted."""
    source = subscriber_of(address_of(request))
    if request.path_info.startswith("/sites/"):
        yield "site", source
        return
    yield "ip", source
    client = client_of(request)
    if is_api(request):
        if client is not None:
            yield from _client_subjects(request, client)
    elif request.path_info.startswith("/admin/") and request.user.is_authenticated:
        yield "user", f"operator:{request.user.pk}"


def _client_subjects(request: HttpRequest, client: ApiClient) -> Wanted:
    """Yield what a client counts for; whom it speaks for is any text, so its hash is the name."""
    yield "organization", str(client.organization_id)
    yield "key", str(client.api_key_id)
    user = request.headers.get(USER_HEADER)
    if user:
        digest = hashlib.sha256(user.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        yield "user", f"{client.organization_id}:{digest}"
