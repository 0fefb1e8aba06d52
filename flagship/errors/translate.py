"""Turn any exception into the refusal a caller may see; the internals stay inside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.core import exceptions as django_exceptions
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions as drf

from flagship.errors import access, requests, server
from jobs.errors import Refusal

logger = logging.getLogger("flagship.errors")

LOCK_NOT_AVAILABLE = "55P03"
# A twin or a sweep was in the way: the same request will do better in a moment.
CONTENTION = frozenset({LOCK_NOT_AVAILABLE, "40001", "40P01"})
CHECK_VIOLATION = "23514"

_BY_STATUS: dict[int, Callable[[], Refusal]] = {
    401: access.Unauthenticated,
    403: access.Forbidden,
    404: requests.NotFound,
    405: requests.MethodNotAllowed,
    406: requests.NotAcceptable,
    409: server.Conflict,
    411: requests.LengthRequired,
    415: requests.UnsupportedMediaType,
    429: requests.RateLimited,
    503: server.ServiceUnavailable,
}


def refusal_for(error: BaseException) -> Refusal:
    """Return the catalogued refusal of an exception.

    A Refusal is itself. What nobody expected becomes INTERNAL_ERROR and is logged with its
    traceback; a database rule that no service gave a name to becomes CONFLICT and is logged too.

    Source: E-02, P31.
    """
    if isinstance(error, Refusal):
        return error
    for translate in (_from_drf, _from_django, _from_database):
        refusal = translate(error)
        if refusal is not None:
            return refusal
    logger.error("request.failed", exc_info=error)
    return server.InternalError()


def refusal_for_status(status: int) -> Refusal:
    """Return the refusal that an error page without the envelope stands for."""
    if status == 413:
        return requests.PayloadTooLarge(_upload_limit())
    known = _BY_STATUS.get(status)
    if known is not None:
        return known()
    return server.InternalError() if status >= 500 else requests.MalformedRequest()


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether a statement gave up waiting for a lock."""
    return sqlstate_of(error) == LOCK_NOT_AVAILABLE


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE behind a Django database error, None where there is none."""
    sqlstate: str | None = getattr(error.__cause__, "sqlstate", None)
    return sqlstate


def _from_drf(error: BaseException) -> Refusal | None:
    """Translate what REST framework raises."""
    match error:
        case drf.ValidationError():
            return requests.ValidationFailed(dict(_fields(error.detail)))
        case drf.ParseError():
            return requests.MalformedRequest(str(error.detail))
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return access.Unauthenticated()
        case drf.PermissionDenied():
            return access.Forbidden()
        case drf.NotFound():
            return requests.NotFound()
        case drf.MethodNotAllowed():
            return requests.MethodNotAllowed(str(error.detail))
        case drf.NotAcceptable():
            return requests.NotAcceptable()
        case drf.UnsupportedMediaType():
            return requests.UnsupportedMediaType(str(error.detail))
        case drf.Throttled():
            wait_s = str(max(1, round(getattr(error, "wait", None) or 1)))
            return requests.RateLimited(headers={"Retry-After": wait_s})
    return None


def _from_django(error: BaseException) -> Refusal | None:
    """Translate what Django raises around and inside a view."""
    match error:
        case Http404():
            return requests.NotFound()
        case django_exceptions.PermissionDenied():
            return access.Forbidden()
        case UnreadablePostError() | django_exceptions.BadRequest() | MultiPartParserError():
            return requests.MalformedRequest()
        case django_exceptions.RequestDataTooBig():
            return requests.PayloadTooLarge(_upload_limit())
        case django_exceptions.SuspiciousOperation():
            return requests.MalformedRequest()
    return None


def _from_database(error: BaseException) -> Refusal | None:
    """Translate contention, outage and refused changes; never their text."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return None
    sqlstate = sqlstate_of(error)
    if sqlstate in CONTENTION:
        return server.ResourceBusy()
    if isinstance(error, DataError):
        logger.warning("request.unstorable", exc_info=error)
        return requests.ValidationFailed({"": ["A value cannot be stored."]})
    if isinstance(error, IntegrityError) or sqlstate == CHECK_VIOLATION:
        logger.error("request.conflict", exc_info=error)
        return server.Conflict()
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("request.database_lost", exc_info=error)
        return server.ServiceUnavailable()
    return None


def _fields(detail: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Flatten nested validation errors to dotted field names."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            is_whole = name == "non_field_errors"
            yield from _fields(inner, path if is_whole else f"{path}.{name}".lstrip("."))
    elif isinstance(detail, list) and any(isinstance(inner, dict | list) for inner in detail):
        for index, inner in enumerate(detail):
            if inner:
                yield from _fields(inner, f"{path}[{index}]")
    else:
        texts = detail if isinstance(detail, list) else [detail]
        yield path or "body", [str(text) for text in texts]


def _upload_limit() -> int:
    """Return Django's own limit of a body, in bytes."""
    from django.conf import settings

    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)
