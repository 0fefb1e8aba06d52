"""The part of the settings that says how the console looks, and what its sidebar offers."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, model: str, **more: Any) -> dict[str, Any]:
    """Describe an entry of the sidebar, shown to those who may view the model."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
        **more,
    }


_NAVIGATION: dict[str, list[dict[str, Any]]] = {
    "Work": [
        _page(
            *("Dead letters", "report", "jobs.failedjob"),
            badge="jobs.admin.badges.open_dead_letters",
            badge_variant="danger",
        ),
        _page("Failure groups", "bug_report", "jobs.failuregroup"),
        _page("Redrives", "repeat", "jobs.redrive"),
        _page("Deleted letters", "folder_delete", "jobs.lettertombstone"),
        _page("Jobs", "work_history", "jobs.job"),
        _page("Queues", "stacks", "jobs.queuepause"),
        _page("Workers", "engineering", "jobs.workerheartbeat"),
        _page("Schedules", "schedule", "jobs.schedule"),
        _page("Live log", "sensors", "jobs.telemetryevent"),
    ],
    "Builds": [
        _page("Builds", "deployed_code", "builds.build"),
        _page("Projects", "web", "builds.project"),
        _page("Sources", "folder_zip", "builds.source"),
        _page("Fetches", "cloud_download", "builds.fetch"),
    ],
    "Credits": [
        _page("Accounts", "account_balance_wallet", "credits.account"),
        _page("Reservations", "lock_clock", "credits.reservation"),
        _page("Entries", "receipt_long", "credits.entry"),
        _page("Grants", "toll", "credits.lot"),
        _page("Statements", "verified", "credits.statement"),
        _page("Freezes", "ac_unit", "credits.freeze"),
        _page("Packages", "sell", "credits.package"),
        _page("Usage", "bar_chart", "builds.creditday"),
    ],
    "Platform": [
        _page("Organizations", "apartment", "flagship.organization"),
        _page("API keys", "key", "flagship.apikey"),
        _page("Signing clients", "signature", "flagship.signaturerollout"),
        _page("Signing keys", "vpn_key", "flagship.signingkey"),
        _page("Audit events", "fact_check", "flagship.auditevent"),
    ],
    "People": [
        _page("Operators", "person", "auth.user"),
        _page("Groups", "group", "auth.group"),
    ],
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "FlagShip",
    "SITE_HEADER": "FlagShip",
    "SITE_SUBHEADER": "Operations console",
    "SITE_SYMBOL": "flag",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("jobs/flag.svg")}
    ],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: static("jobs/console.css")],
    "DASHBOARD_CALLBACK": "jobs.admin.overview.dashboard",
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {"title": title, "separator": True, "items": pages}
            for title, pages in _NAVIGATION.items()
        ],
    },
}
