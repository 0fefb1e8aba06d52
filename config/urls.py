"""The URL space: each app brings its own routes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from flagship.admin.login import log_in
from jobs.admin.overview import show_parts

# The one place that shows the pages loads them (config.apps).
admin.autodiscover()

urlpatterns = [
    # Before the site's own, under the same name.
    path("admin/login/", log_in),
    path("admin/overview/", admin.site.admin_view(show_parts), name="overview-parts"),
    path("admin/", admin.site.urls),
    path("", include("flagship.api.urls")),
    path("", include("credits.api.urls")),
    path("", include("builds.api.urls")),
    path("", include("jobs.api.urls")),
]
handler400 = "flagship.api.exception_handler.handle_400"
handler403 = "flagship.api.exception_handler.handle_403"
handler404 = "flagship.api.exception_handler.handle_404"
handler500 = "flagship.api.exception_handler.handle_500"
