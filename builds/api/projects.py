"""/v1/projects."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.fields import parse_path_id
from builds.api.serializers import (
    ProjectCreation,
    ProjectFields,
    ProjectPatch,
    ProjectSerializer,
)
from builds.errors import ProjectNotFound
from builds.models import Project
from builds.selectors.projects import get_project, list_projects
from builds.services.projects import ProjectChange, create_project, update_project
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.schema import page_of
from flagship.api.serializers import PageQuery, StrictSerializer, read_body, read_query

SCOPES = {
    "GET": "builds:read",
    "POST": "builds:write",
    "PUT": "builds:write",
    "PATCH": "builds:write",
}


class ProjectList(APIView):
    """The organization's projects."""

    scopes = SCOPES

    @extend_schema(parameters=[PageQuery], responses=page_of(ProjectSerializer))
    def get(self, request: Request) -> Response:
        """List projects, newest first."""
        read_query(PageQuery, request)
        page = CursorPage()
        found = list_projects(organization_id=caller_of(request).organization_id)
        rows = page.paginate_queryset(found, request, self)
        return page.get_paginated_response(ProjectSerializer(rows, many=True).data)

    @extend_schema(request=ProjectCreation, responses={201: ProjectSerializer})
    def post(self, request: Request) -> Response:
        """Create a project."""
        project = create_project(
            organization_id=caller_of(request).organization_id,
            actor=caller_of(request).actor,
            **read_body(ProjectCreation, request),
        )
        return Response(ProjectSerializer(project).data, status=201)


class ProjectDetail(APIView):
    """One project."""

    scopes = SCOPES

    @extend_schema(responses=ProjectSerializer)
    def get(self, request: Request, project_id: str) -> Response:
        """Show a project."""
        project = get_project(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
        )
        return Response(ProjectSerializer(project).data)

    @extend_schema(request=ProjectFields, responses=ProjectSerializer)
    def put(self, request: Request, project_id: str) -> Response:
        """Replace what can be changed about a project; a field left out gets its default."""
        return Response(ProjectSerializer(_update(request, project_id, ProjectFields)).data)

    @extend_schema(request=ProjectPatch, responses=ProjectSerializer)
    def patch(self, request: Request, project_id: str) -> Response:
        """Change some fields of a project."""
        return Response(ProjectSerializer(_update(request, project_id, ProjectPatch)).data)


def _update(request: Request, project_id: str, shape: type[StrictSerializer]) -> Project:
    return update_project(
        organization_id=caller_of(request).organization_id,
        project_id=parse_path_id("proj", project_id, ProjectNotFound),
        change=ProjectChange(**read_body(shape, request)),
        actor=caller_of(request).actor,
    )
