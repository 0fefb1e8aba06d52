"""The workers: who is there, what it has in hand, who has gone silent (O-03)."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.urls import reverse

from jobs.admin.display import age, size
from jobs.admin.links import worker_link
from jobs.admin.panels import Alarm, Panel, Reading, register
from jobs.admin.workers import standing_of
from jobs.selectors.workers import WorkerState, list_workers

SHOWN: Final = 12


def read() -> Reading:
    """Read the panel: those that are there, or should be."""
    states = list_workers(stale_after_s=settings.WORKER_STALE_S)
    present = [state for state in states if state.heartbeat.stopped_at is None]
    present.sort(key=lambda state: not state.is_stale)
    lines = [
        {
            "name": worker_link(state.heartbeat.name),
            "standing": standing_of(state.heartbeat, is_stale=state.is_stale),
            "age": age(state.age_s),
            "memory": size(state.heartbeat.memory_bytes),
            "beat": state.heartbeat,
        }
        for state in present[:SHOWN]
    ]
    shown = {"lines": lines, "more": max(len(present) - SHOWN, 0)}
    return Reading(shown, _alarms(present))


def _alarms(present: list[WorkerState]) -> list[Alarm]:
    """Say which are silent, and whether nobody works at all."""
    href = reverse("admin:jobs_workerheartbeat_changelist")
    told = [
        Alarm(f"{each.heartbeat.name} has been silent for {age(each.age_s)}", href)
        for each in present
        if each.is_stale
    ]
    alive = {each.heartbeat.role for each in present if not each.is_stale}
    if "worker" not in alive:
        told.insert(0, Alarm("No worker is alive: nothing runs", href))
    if "scheduler" not in alive:
        told.append(
            Alarm("No scheduler is alive: retries, schedules and rescues stand still", href)
        )
    return told


register(
    Panel(
        name="workers",
        title="Workers",
        icon="engineering",
        model="jobs.workerheartbeat",
        template="admin/overview/workers.html",
        read=read,
        place=30,
    )
)
