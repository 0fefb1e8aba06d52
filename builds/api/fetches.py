"""/v1/projects/{projectId}/fetches: sources come out of git repositories."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.fields import parse_path_id
from builds.api.serializers import FetchOrder, FetchSerializer
from builds.errors import FetchAlreadyRunning, FetchNotFound, ProjectNotFound, RefInvalid
from builds.selectors.fetches import get_fetch, list_fetches
from builds.services.fetches import start_fetch
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.schema import page_of
from flagship.api.serializers import PageQuery, read_body, read_query
from flagship.errors import UrlNotAllowed


class FetchList(APIView):
    """The fetches of a project."""

    scopes = {"GET": "builds:read", "POST": "builds:write"}
    refusals = {
        "GET": (ProjectNotFound,),
        "POST": (ProjectNotFound, UrlNotAllowed, RefInvalid, FetchAlreadyRunning),
    }

    @extend_schema(parameters=[PageQuery], responses=page_of(FetchSerializer))
    def get(self, request: Request, project_id: str) -> Response:
        """List fetches, newest first."""
        read_query(PageQuery, request)
        page = CursorPage()
        found = list_fetches(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
        )
        rows = page.paginate_queryset(found, request, self)
        return page.get_paginated_response(FetchSerializer(rows, many=True).data)

    @extend_schema(request=FetchOrder, responses={202: FetchSerializer})
    def post(self, request: Request, project_id: str) -> Response:
        """Fetch a commit of a public repository as a source; ask for the fetch until it ends."""
        fetch = start_fetch(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
            actor=caller_of(request).actor,
            **read_body(FetchOrder, request),
        )
        return Response(FetchSerializer(fetch).data, status=202)


class FetchDetail(APIView):
    """One fetch."""

    scopes = {"GET": "builds:read"}
    refusals = {"GET": (ProjectNotFound, FetchNotFound)}

    @extend_schema(responses=FetchSerializer)
    def get(self, request: Request, project_id: str, fetch_id: str) -> Response:
        """Show a fetch; once it is ready it names its source."""
        fetch = get_fetch(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
            fetch_id=parse_path_id("fetch", fetch_id, FetchNotFound),
        )
        return Response(FetchSerializer(fetch).data)
