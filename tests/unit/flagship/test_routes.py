"""A request's route is looked for once, by whoever needs it first."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import Resolver404
from django.urls.resolvers import URLResolver

from flagship.middleware.routes import route_of
from flagship.middleware.wsgi import Handler


def test_handler__where_a_middleware_has_found_the_route__takes_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request, handler = RequestFactory().post("/v1/estimate"), Handler()
    route = route_of(request)
    assert route is not None

    def lost(resolver: URLResolver, path: str) -> Any:
        raise AssertionError(f"looked for {path} again")

    monkeypatch.setattr(URLResolver, "resolve", lost)

    assert handler.resolve_request(request).route == route.pattern
    assert request.resolver_match == handler.resolve_request(request)


def test_handler__where_nobody_has_looked__looks() -> None:
    handler = Handler()

    assert handler.resolve_request(RequestFactory().get("/v1/jobs")).view_name
    unknown = RequestFactory().get("/v1/nothing")
    assert route_of(unknown) is None
    with pytest.raises(Resolver404):
        handler.resolve_request(unknown)
