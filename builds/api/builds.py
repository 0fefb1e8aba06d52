"""/v1/builds."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api import addresses
from builds.api.fields import parse_path_id
from builds.api.serializers import (
    BuildOrderSerializer,
    BuildQuery,
    BuildSerializer,
    LogPage,
    LogQuery,
)
from builds.errors import (
    BuildAlreadyRunning,
    BuilderOptionsInvalid,
    BuildNotFound,
    BuildStillActive,
    InvalidStateTransition,
    ProjectNotFound,
    SourceNotFound,
    UnknownBuilder,
)
from builds.models import Build
from builds.selectors.builds import BuildFilter, get_build, list_builds, read_log
from builds.services.cancel import cancel_build
from builds.services.submit import BuildOrder, create_build, rebuild
from credits.errors import AccountNotFound, InsufficientCredits
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.schema import page_of
from flagship.api.serializers import read_body, read_query
from flagship.errors.idempotency import IdempotencyKeyExpired
from flagship.selectors.caller import idempotency_key_of


class BuildList(APIView):
    """The organization's builds."""

    scopes = {"GET": "builds:read", "POST": "builds:write"}
    refusals = {
        "POST": (
            ProjectNotFound,
            SourceNotFound,
            UnknownBuilder,
            BuilderOptionsInvalid,
            BuildAlreadyRunning,
            InsufficientCredits,
            AccountNotFound,
            IdempotencyKeyExpired,
        )
    }

    @extend_schema(parameters=[BuildQuery], responses=page_of(BuildSerializer))
    def get(self, request: Request) -> Response:
        """List builds, newest first."""
        page = CursorPage()
        found = list_builds(
            organization_id=caller_of(request).organization_id,
            wanted=BuildFilter(**read_query(BuildQuery, request)),
        )
        rows = page.paginate_queryset(found, request, self)
        return page.get_paginated_response(BuildSerializer(rows, many=True).data)

    @extend_schema(request=BuildOrderSerializer, responses={202: BuildSerializer})
    def post(self, request: Request) -> Response:
        """Submit a build: credits are held and it is queued."""
        build = create_build(
            organization_id=caller_of(request).organization_id,
            order=BuildOrder(**read_body(BuildOrderSerializer, request)),
            actor=caller_of(request).actor,
            idempotency_key=idempotency_key_of(request._request) or "",
        )
        return accepted(build)


class BuildDetail(APIView):
    """One build."""

    scopes = {"GET": "builds:read"}
    refusals = {"GET": (BuildNotFound,)}

    @extend_schema(responses=BuildSerializer)
    def get(self, request: Request, build_id: str) -> Response:
        """Show a build."""
        build = get_build(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
        )
        return Response(BuildSerializer(build).data)


class BuildCancel(APIView):
    """The end of a build that nobody wants any more."""

    scopes = {"POST": "builds:write"}
    refusals = {"POST": (BuildNotFound, InvalidStateTransition)}

    @extend_schema(request=None, responses={200: BuildSerializer, 202: BuildSerializer})
    def post(self, request: Request, build_id: str) -> Response:
        """Cancel a build: 200 when it has ended, 202 when its worker was asked to stop."""
        build = cancel_build(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
            actor=caller_of(request).actor,
        )
        return Response(BuildSerializer(build).data, status=200 if build.finished_at else 202)


class BuildRebuild(APIView):
    """What a build has done, done again."""

    scopes = {"POST": "builds:write"}
    refusals = {
        "POST": (
            BuildNotFound,
            BuildStillActive,
            SourceNotFound,
            UnknownBuilder,
            BuilderOptionsInvalid,
            BuildAlreadyRunning,
            InsufficientCredits,
            AccountNotFound,
            IdempotencyKeyExpired,
        )
    }

    @extend_schema(request=None, responses={202: BuildSerializer})
    def post(self, request: Request, build_id: str) -> Response:
        """Build again what an ended build was made of: a new build, linked by `rebuildOf`."""
        build = rebuild(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
            actor=caller_of(request).actor,
            idempotency_key=idempotency_key_of(request._request) or "",
        )
        return accepted(build)


class BuildLog(APIView):
    """What the builder of one build said."""

    scopes = {"GET": "builds:read"}
    refusals = {"GET": (BuildNotFound,)}

    @extend_schema(parameters=[LogQuery], responses=LogPage)
    def get(self, request: Request, build_id: str) -> Response:
        """Read a log, page by page."""
        position = read_log_query(request)
        found = read_log(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
            **position,
        )
        return Response(LogPage(found).data)


def accepted(build: Build) -> Response:
    """Return a build that will be made, and where to look for it."""
    headers = {"Location": addresses.build_url(build.id)}
    return Response(BuildSerializer(build).data, status=202, headers=headers)


def read_log_query(request: Request) -> dict[str, int]:
    """Return where to read a log from. Raises: ValidationError."""
    query = LogQuery(data=request.query_params)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)
