"""The overview's page, and its parts by themselves for those who have the page already."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET

from jobs.admin.panels import Panel, Reading, panels_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A panel and what it has read; None where the database would not say."""

    panel: Panel
    reading: Reading | None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the panels to the admin's first page (UNFOLD's DASHBOARD_CALLBACK)."""
    return context | read_parts(request)


@require_GET
def show_parts(request: HttpRequest) -> HttpResponse:
    """Answer with the parts alone."""
    return TemplateResponse(request, "admin/overview/parts.html", read_parts(request))


def read_parts(request: HttpRequest) -> dict[str, Any]:
    """Read every panel that this operator may see, and gather what is not as it should be."""
    parts = [Part(panel, _read(panel)) for panel in panels_for(request)]
    alarms = [alarm for part in parts if part.reading for alarm in part.reading.alarms]
    alarms.sort(key=lambda alarm: alarm.tone != "danger")
    return {"parts": parts, "rows": _stacked(parts), "alarms": alarms}


def _stacked(parts: list[Part]) -> list[list[list[Part]]]:
    """Lay parts out in rows: a wide one is a row, those between two of them are two stacks.

    What grows in one stack moves nothing in the other.
    """
    rows: list[list[list[Part]]] = []
    for is_wide, group in groupby(parts, key=lambda part: part.panel.is_wide):
        found = list(group)
        rows += [[[part]] for part in found] if is_wide else [[found[::2], found[1::2]]]
    return rows


def _read(panel: Panel) -> Reading | None:
    """Read one panel. A database in trouble must not take the others with it: it is shown."""
    try:
        return panel.read()
    except OperationalError:
        logger.exception("the panel %s cannot be read", panel.name)
        return None
