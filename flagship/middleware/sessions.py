"""Who is logged in at the console, and for how long. Nobody is anywhere else."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

CONSOLE: Final = "/admin/"
STARTED: Final = "started_at"
SEEN: Final = "seen_at"
# The time of the last request is kept to within this: not every page writes.
STEP_S: Final = 60.0
# On what an open page asks by itself (jobs/static/jobs/refresh.js): nobody need be there.
REFRESH_HEADER: Final = "X-Console-Refresh"


class _OfTheConsole(MiddlewareMixin):
    """Does nothing to what is not the console's: elsewhere no cookie says who somebody is."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request."""
        if request.path_info.startswith(CONSOLE):
            return super().__call__(request)
        return self.get_response(request)


class ConsoleSessionMiddleware(_OfTheConsole, SessionMiddleware):
    """Django's sessions, for the console."""


class ConsoleAuthenticationMiddleware(_OfTheConsole, AuthenticationMiddleware):
    """Django's logins, for the console."""


class ConsoleMessageMiddleware(_OfTheConsole, MessageMiddleware):
    """Django's messages, for the console."""


class SessionLimitsMiddleware:
    """Ends a login that was idle for SESSION_IDLE_S, or is older than SESSION_COOKIE_AGE.

    Django's own age begins anew with every change of a session, and no page need change one. Both
    times are kept in the session, in seconds since the epoch; only the console has sessions. What
    an open page asks by itself keeps no login alive.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer as to nobody where the login has ended."""
        if not request.path_info.startswith(CONSOLE):
            return self.get_response(request)
        before = request.session.session_key
        if request.user.is_authenticated and has_ended(request.session, time.time()):
            logout(request)
        response = self.get_response(request)
        if request.user.is_authenticated and REFRESH_HEADER not in request.headers:
            stamp(request.session, time.time(), before=before)
        return response


def has_ended(session: SessionBase, now: float) -> bool:
    """Tell whether a login is too old, or was left alone for too long."""
    started, seen = session.get(STARTED, now), session.get(SEEN, now)
    return bool(now - started > settings.SESSION_COOKIE_AGE or now - seen > settings.SESSION_IDLE_S)


def stamp(session: SessionBase, now: float, *, before: str | None) -> None:
    """Note that somebody was here; a session that is not the one `before` begins now."""
    if STARTED not in session or session.session_key != before:
        session[STARTED] = now
        session[SEEN] = now
    elif now - session.get(SEEN, 0.0) >= STEP_S:
        session[SEEN] = now
