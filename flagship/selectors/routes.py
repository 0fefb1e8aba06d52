"""The routes of the API as the URL space has them, and which of them take an Idempotency-Key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

OLD_PREFIX, PREFIX = "/api/", "/v1/"
API_PREFIXES = (PREFIX, OLD_PREFIX)
# What the API says about itself: answered to anybody, who need not be asked who they are.
PUBLIC_PREFIXES = ("/v1/errors", "/v1/schema", "/v1/docs")
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Route:
    """A route's pattern and the class of its view (None for a plain function).

    The pattern of an old path is that of its successor: a key used on one is used on both.
    """

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


def current(path: str) -> str:
    """Return the path that takes the place of an old one; any other as it is."""
    return PREFIX + path.removeprefix(OLD_PREFIX) if path.startswith(OLD_PREFIX) else path


def route_to(pattern: str, callback: Any) -> Route:
    """Return the route of a pattern as the URLconf has it, without its first slash."""
    return Route(current(f"/{pattern}").removeprefix("/"), view_class(callback))


def view_class(callback: Any) -> type[Any] | None:
    """Return the class behind a view function; None for a plain function."""
    found: type[Any] | None = getattr(callback, "cls", None) or getattr(
        callback, "view_class", None
    )
    return found


def list_mutations() -> list[tuple[str, Route]]:
    """Return every method and route of the API that may change something, each once."""
    return [
        (method, route)
        for route in dict.fromkeys(_routes(get_resolver(), ""))
        if f"/{route.pattern}".startswith(API_PREFIXES)
        for method in sorted(MUTATING)
        if route.takes(method)
    ]


def _routes(resolver: URLResolver, prefix: str) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route_to(pattern, entry.callback)
        else:
            yield from _routes(entry, pattern)
