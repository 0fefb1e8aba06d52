"""Which route a request is for, known before Django resolves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import Resolver404, resolve

API_PREFIXES = ("/v1/", "/api/")
MUTATING = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Route:
    """A route's pattern and the class of its view (None for a plain function)."""

    pattern: str
    view: type[Any] | None

    def takes(self, method: str) -> bool:
        """Tell whether the view answers this method at all."""
        return self.view is None or hasattr(self.view, method.lower())

    @property
    def is_key_in_body(self) -> bool:
        """Tell whether the view takes its Idempotency-Key from the body as well."""
        return bool(getattr(self.view, "key_in_body", False))

    def scope(self, method: str) -> str | None:
        """Return the scope the view declares for this method."""
        scope: str | None = getattr(self.view, "scopes", {}).get(method)
        return scope


def is_api(request: HttpRequest) -> bool:
    """Tell whether the request is for the API."""
    return request.path_info.startswith(API_PREFIXES)


def is_mutation(request: HttpRequest) -> bool:
    """Tell whether the request may change something under the API (DELETE is safe as it is)."""
    return request.method in MUTATING and is_api(request)


def route_of(request: HttpRequest) -> Route | None:
    """Return the request's route; None where there is none."""
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None
    view = getattr(match.func, "cls", None) or getattr(match.func, "view_class", None)
    return Route(match.route, view)
