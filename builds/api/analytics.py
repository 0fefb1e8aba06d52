"""/v1/analytics: builds and credits over time, from the daily rollups."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.analytics_serializers import (
    AnalyticsQuery,
    BuildAnalyticsQuery,
    BuildAnalyticsSerializer,
    SegmentAnalyticsSerializer,
    UsageAnalyticsSerializer,
)
from builds.selectors.analytics import (
    Period,
    build_analytics,
    segment_analytics,
    usage_analytics,
)
from flagship.api.authentication import caller_of
from flagship.api.serializers import read_query


class BuildAnalyticsView(APIView):
    """What became of the organization's builds."""

    scopes = {"GET": "builds:read"}

    @extend_schema(parameters=[BuildAnalyticsQuery], responses=BuildAnalyticsSerializer)
    def get(self, request: Request) -> Response:
        """Show builds by state, builder and duration over time, by the day of submission (UTC)."""
        query = read_query(BuildAnalyticsQuery, request)
        builder, period = query.pop("builder", ""), Period(**query)
        found = build_analytics(
            organization_id=caller_of(request).organization_id, period=period, builder=builder
        )
        return Response(BuildAnalyticsSerializer({"period": period, "found": found}).data)


class UsageAnalyticsView(APIView):
    """What moved on the organization's account."""

    scopes = {"GET": "credits:read"}

    @extend_schema(parameters=[AnalyticsQuery], responses=UsageAnalyticsSerializer)
    def get(self, request: Request) -> Response:
        """Show credits by operation and by user over time, and the organization's segment."""
        period = Period(**read_query(AnalyticsQuery, request))
        found = usage_analytics(organization_id=caller_of(request).organization_id, period=period)
        return Response(UsageAnalyticsSerializer({"period": period, "found": found}).data)


class SegmentAnalyticsView(APIView):
    """What moved on all accounts."""

    scopes = {"GET": "analytics:platform"}

    @extend_schema(parameters=[AnalyticsQuery], responses=SegmentAnalyticsSerializer)
    def get(self, request: Request) -> Response:
        """Show credits by segment of organizations over time; for keys of operators."""
        period = Period(**read_query(AnalyticsQuery, request))
        found = segment_analytics(period=period)
        return Response(SegmentAnalyticsSerializer({"period": period, "found": found}).data)
