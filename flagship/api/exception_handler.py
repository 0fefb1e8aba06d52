"""The one place where an exception becomes an answer (E-02)."""

from __future__ import annotations

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from rest_framework.exceptions import MethodNotAllowed

from flagship.errors.envelope import answer, speaks_json
from flagship.errors.requests import MalformedRequest, NotFound
from flagship.errors.server import InternalError
from flagship.errors.translate import refusal_for


def handle_exception(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """REST framework's handler: every exception of a view, also an unexpected one."""
    view = context["view"]
    if isinstance(error, MethodNotAllowed):
        # The framework's own OPTIONS is not offered.
        allowed = [method for method in view.allowed_methods if method != "OPTIONS"]
        view.headers["Allow"] = ", ".join(allowed)
    return answer(refusal_for(error))


def handle_400(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Bad host, bad signature and other suspicious requests."""
    if speaks_json(request.path_info):
        return answer(MalformedRequest())
    return defaults.bad_request(request, exception)


def handle_403(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Permission denied outside REST framework."""
    if speaks_json(request.path_info):
        return answer(refusal_for(exception))
    return defaults.permission_denied(request, exception)


def handle_404(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """No such route."""
    if speaks_json(request.path_info):
        return answer(NotFound())
    return defaults.page_not_found(request, exception)


def handle_500(request: HttpRequest) -> HttpResponseBase:
    """What no view caught; Django has logged its traceback."""
    if not speaks_json(request.path_info):
        return defaults.server_error(request)
    error = sys.exc_info()[1]
    return answer(refusal_for(error) if error else InternalError())
