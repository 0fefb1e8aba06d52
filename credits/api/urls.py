"""Routes of credits."""

from __future__ import annotations

from django.urls import URLPattern, path

from credits.api import views

urlpatterns: list[URLPattern] = [
    path("v1/credits/reserve", views.ReserveView.as_view(), name="credits-reserve"),
    path("v1/credits/commit", views.CommitView.as_view(), name="credits-commit"),
    path("v1/credits/release", views.ReleaseView.as_view(), name="credits-release"),
    path("v1/credits/account", views.AccountView.as_view(), name="credits-account"),
    path("v1/credits/entries", views.EntryListView.as_view(), name="credits-entries"),
    path(
        "v1/credits/statement.csv", views.StatementCsvView.as_view(), name="credits-statement-csv"
    ),
    path(
        "v1/credits/statement.jsonl",
        views.StatementJsonLinesView.as_view(),
        name="credits-statement-jsonl",
    ),
]
