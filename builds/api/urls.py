"""Routes of builds."""

from __future__ import annotations

from django.urls import URLPattern, path

from builds.api.analytics import BuildAnalyticsView, SegmentAnalyticsView, UsageAnalyticsView
from builds.api.batches import BuildBatch
from builds.api.builds import BuildCancel, BuildDetail, BuildList, BuildLog, BuildRebuild
from builds.api.estimates import EstimateView
from builds.api.events import BuildEvents, BuildReplay
from builds.api.fetches import FetchDetail, FetchList
from builds.api.projects import ProjectBatch, ProjectDetail, ProjectList
from builds.api.sites import serve_site
from builds.api.sources import SourceList
from builds.api.streams import BuildLogStream

urlpatterns: list[URLPattern] = [
    path("v1/projects", ProjectList.as_view(), name="projects"),
    path("v1/projects/batch", ProjectBatch.as_view(), name="project-batch"),
    path("v1/projects/<str:project_id>", ProjectDetail.as_view(), name="project"),
    path("v1/projects/<str:project_id>/sources", SourceList.as_view(), name="sources"),
    path("v1/projects/<str:project_id>/fetches", FetchList.as_view(), name="fetches"),
    path(
        "v1/projects/<str:project_id>/fetches/<str:fetch_id>", FetchDetail.as_view(), name="fetch"
    ),
    path("v1/builds", BuildList.as_view(), name="builds"),
    path("v1/builds/batch", BuildBatch.as_view(), name="build-batch"),
    path("v1/builds/<str:build_id>", BuildDetail.as_view(), name="build"),
    path("v1/builds/<str:build_id>/cancel", BuildCancel.as_view(), name="build-cancel"),
    path("v1/builds/<str:build_id>/rebuild", BuildRebuild.as_view(), name="build-rebuild"),
    path("v1/builds/<str:build_id>/events", BuildEvents.as_view(), name="build-events"),
    path("v1/builds/<str:build_id>/replay", BuildReplay.as_view(), name="build-replay"),
    path("v1/builds/<str:build_id>/log", BuildLog.as_view(), name="build-log"),
    path("v1/estimate", EstimateView.as_view(), name="estimate"),
    path("v1/analytics/builds", BuildAnalyticsView.as_view(), name="analytics-builds"),
    path("v1/analytics/usage", UsageAnalyticsView.as_view(), name="analytics-usage"),
    path("v1/analytics/segments", SegmentAnalyticsView.as_view(), name="analytics-segments"),
    path("v1/streams/builds/<str:build_id>/log", BuildLogStream.as_view(), name="build-stream"),
    path("sites/<str:name>/", serve_site, name="site"),
    path("sites/<str:name>/<path:path>", serve_site, name="site-page"),
]
