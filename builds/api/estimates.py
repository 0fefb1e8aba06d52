"""/v1/estimate."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.serializers import EstimateQuestion, EstimateSerializer
from builds.errors import BuilderOptionsInvalid, ProjectNotFound, SourceNotFound, UnknownBuilder
from builds.selectors.estimates import Question, estimate_order
from flagship.api.authentication import caller_of
from flagship.api.serializers import read_body


class EstimateView(APIView):
    """What a build would cost."""

    scopes = {"POST": "builds:read"}
    refusals = {"POST": (ProjectNotFound, SourceNotFound, UnknownBuilder, BuilderOptionsInvalid)}

    @extend_schema(request=EstimateQuestion, responses=EstimateSerializer)
    def post(self, request: Request) -> Response:
        """Estimate a build's credits; nothing is held and nothing changes."""
        builder, found = estimate_order(
            organization_id=caller_of(request).organization_id,
            question=Question(**read_body(EstimateQuestion, request)),
        )
        return Response(EstimateSerializer({"builder": builder, "estimate": found}).data)
