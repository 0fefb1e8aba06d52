"""The end of the telemetry: what has just happened (O-02)."""

from __future__ import annotations

from typing import Final

from jobs.admin.live import written
from jobs.admin.panels import Panel, Reading, register
from jobs.telemetry import list_events

SHOWN: Final = 8


def read() -> Reading:
    """Read the panel, the newest first."""
    return Reading({"events": written(list_events(limit=SHOWN))})


register(
    Panel(
        name="telemetry",
        title="Live log",
        icon="sensors",
        model="jobs.telemetryevent",
        template="admin/overview/telemetry.html",
        read=read,
        place=90,
        is_wide=True,
    )
)
