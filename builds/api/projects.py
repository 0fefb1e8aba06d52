"""/v1/projects."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.fields import parse_path_id
from builds.api.serializers import (
    ProjectBatchAnswer,
    ProjectBatchQuery,
    ProjectCreation,
    ProjectFields,
    ProjectPatch,
    ProjectSerializer,
)
from builds.errors import MaxActiveInUse, ProjectNotFound, SlugTaken, UnknownBuilder
from builds.models import Project
from builds.selectors.projects import etag_of, get_project, list_projects, list_projects_by_id
from builds.services.projects import ProjectChange, create_project, update_project
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.preconditions import etag_parameter, if_match_parameter, read_if_match
from flagship.api.schema import page_of
from flagship.api.serializers import PageQuery, StrictSerializer, read_body, read_query
from flagship.errors.requests import PreconditionFailed

SCOPES = {
    "GET": "builds:read",
    "POST": "builds:write",
    "PUT": "builds:write",
    "PATCH": "builds:write",
}
CHANGE_REFUSALS: Final = (ProjectNotFound, MaxActiveInUse, UnknownBuilder, PreconditionFailed)


class ProjectList(APIView):
    """The organization's projects."""

    scopes = SCOPES
    refusals = {"POST": (SlugTaken, UnknownBuilder)}

    @extend_schema(parameters=[PageQuery], responses=page_of(ProjectSerializer))
    def get(self, request: Request) -> Response:
        """List projects, newest first."""
        read_query(PageQuery, request)
        page = CursorPage()
        found = list_projects(organization_id=caller_of(request).organization_id)
        rows = page.paginate_queryset(found, request, self)
        return page.get_paginated_response(ProjectSerializer(rows, many=True).data)

    @extend_schema(
        parameters=[etag_parameter(201)],
        request=ProjectCreation,
        responses={201: ProjectSerializer},
    )
    def post(self, request: Request) -> Response:
        """Create a project."""
        project = create_project(
            organization_id=caller_of(request).organization_id,
            actor=caller_of(request).actor,
            **read_body(ProjectCreation, request),
        )
        return answer(project, 201)


class ProjectBatch(APIView):
    """Several projects at once."""

    scopes = SCOPES

    @extend_schema(parameters=[ProjectBatchQuery], responses=ProjectBatchAnswer)
    def get(self, request: Request) -> Response:
        """Show projects in the order of their ids, and name the ids that are none of yours."""
        items, missing = list_projects_by_id(
            organization_id=caller_of(request).organization_id,
            project_ids=read_query(ProjectBatchQuery, request)["ids"],
        )
        return Response(ProjectBatchAnswer({"items": items, "missing": missing}).data)


class ProjectDetail(APIView):
    """One project."""

    scopes = SCOPES
    refusals = {
        "GET": (ProjectNotFound,),
        "PUT": CHANGE_REFUSALS,
        "PATCH": CHANGE_REFUSALS,
    }

    @extend_schema(parameters=[etag_parameter(200)], responses=ProjectSerializer)
    def get(self, request: Request, project_id: str) -> Response:
        """Show a project."""
        project = get_project(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
        )
        return answer(project)

    @extend_schema(
        parameters=[if_match_parameter(), etag_parameter(200)],
        request=ProjectFields,
        responses=ProjectSerializer,
    )
    def put(self, request: Request, project_id: str) -> Response:
        """Replace what can be changed about a project; a field left out gets its default."""
        if_match = read_if_match(request)
        return answer(_update(request, project_id, ProjectFields, if_match))

    @extend_schema(
        parameters=[if_match_parameter(), etag_parameter(200)],
        request=ProjectPatch,
        responses=ProjectSerializer,
    )
    def patch(self, request: Request, project_id: str) -> Response:
        """Change some fields of a project."""
        if_match = read_if_match(request)
        return answer(_update(request, project_id, ProjectPatch, if_match))


def answer(project: Project, status: int = 200) -> Response:
    """Return a project with the tag of its state."""
    headers = {"ETag": etag_of(project)}
    return Response(ProjectSerializer(project).data, status=status, headers=headers)


def _update(
    request: Request,
    project_id: str,
    shape: type[StrictSerializer],
    if_match: frozenset[str] | None,
) -> Project:
    return update_project(
        organization_id=caller_of(request).organization_id,
        project_id=parse_path_id("proj", project_id, ProjectNotFound),
        change=ProjectChange(**read_body(shape, request)),
        actor=caller_of(request).actor,
        if_match=if_match,
    )
