"""Who may call which method of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from flagship.errors.access import Forbidden, Unauthenticated
from flagship.selectors.api_keys import ApiClient

if TYPE_CHECKING:  # Views import their default permissions.
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """The key carries the scope that the view declares: `scopes = {"GET": "builds:read"}`.

    A method that a view answers without declaring its scope is closed to everybody.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let the caller in, or raise.

        Raises: Unauthenticated; Forbidden.
        """
        if not isinstance(request.auth, ApiClient):
            raise Unauthenticated
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True  # Answered 405: there is no metadata.
        scope = getattr(view, "scopes", {}).get(method)
        if scope not in request.auth.scopes:
            raise Forbidden(data={"requiredScope": scope})
        return True


class IsClient(BasePermission):
    """Any valid key: the view shows each caller what its scopes open, and nothing else."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let the caller in, or raise.

        Raises: Unauthenticated.
        """
        if not isinstance(request.auth, ApiClient):
            raise Unauthenticated
        return True
