"""Which route a request is for, known before Django resolves it."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import Resolver404, resolve

from flagship.selectors.routes import (
    API_PREFIXES,
    MUTATING,
    OLD_PREFIX,
    PUBLIC_PREFIXES,
    Route,
    current,
    route_to,
)

__all__ = [
    "API_PREFIXES",
    "MUTATING",
    "OLD_PREFIX",
    "PUBLIC_PREFIXES",
    "Route",
    "current",
    "is_api",
    "is_mutation",
    "is_public",
    "route_of",
]


def is_api(request: HttpRequest) -> bool:
    """Tell whether the request is for the API."""
    return request.path_info.startswith(API_PREFIXES)


def is_public(request: HttpRequest) -> bool:
    """Tell whether the request is for a part of the API that takes no key."""
    return request.path_info.startswith(PUBLIC_PREFIXES)


def is_mutation(request: HttpRequest) -> bool:
    """Tell whether the request may change something under the API."""
    return request.method in MUTATING and is_api(request)


def route_of(request: HttpRequest) -> Route | None:
    """Return the request's route; None where there is none.

    It is looked for once: Django is told what was found (`flagship.middleware.wsgi.Handler`).
    """
    try:
        known: Route | None = request.found_route  # type: ignore[attr-defined]  # set below
    except AttributeError:
        try:
            match = resolve(request.path_info)
        except Resolver404:
            known = None
        else:
            known = route_to(match.route, match.func)
            request.resolver_match = match
        setattr(request, "found_route", known)  # noqa: B010 (read above)
    return known
