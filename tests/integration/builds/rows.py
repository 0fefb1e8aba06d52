"""Builds in every state, and what of them an attack could change."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models.functions import Now

from builds.models import Build, BuildTransition
from builds.states import BuildState
from credits.models import Account
from tests.factories import make_build, make_project

# What has to be true of a row beside its state, so that nothing but the state can be at fault.
ACTIVE_COLUMNS: dict[str, Any] = {
    "finished_at": None,
    "error_code": None,
    "artifact_sha256": None,
    "artifact_bytes": None,
    "artifact_files": None,
    "charged_credits": None,
}
DEPLOYED_COLUMNS: dict[str, Any] = {
    "artifact_sha256": "a" * 64,
    "artifact_bytes": 10,
    "artifact_files": 1,
    "charged_credits": 2,
}
FINAL_COLUMNS: dict[str, Any] = {**ACTIVE_COLUMNS, "slot": None, "fence": None}


def columns_for(state: str) -> dict[str, Any]:
    """Return the columns of a row in a state, as plain values; times are given as "now"."""
    match BuildState(state):
        case BuildState.QUEUED:
            return {
                **ACTIVE_COLUMNS,
                "slot": 0,
                "max_active": 1,
                "fence": None,
                "started_at": None,
            }
        case BuildState.BUILDING:
            return {
                **ACTIVE_COLUMNS,
                "slot": 0,
                "max_active": 1,
                "fence": 1,
                "started_at": "now",
            }
        case BuildState.DEPLOYED:
            return {
                **FINAL_COLUMNS,
                **DEPLOYED_COLUMNS,
                "finished_at": "now",
                "started_at": "now",
            }
        case BuildState.FAILED:
            return {
                **FINAL_COLUMNS,
                "finished_at": "now",
                "started_at": "now",
                "error_code": "BUILD_FAILED",
            }
        case BuildState.CANCELLED:
            return {**FINAL_COLUMNS, "finished_at": "now", "started_at": "now"}


def orm_columns(state: str) -> dict[str, Any]:
    """Return the same columns for the ORM."""
    return {name: Now() if value == "now" else value for name, value in columns_for(state).items()}


def make_build_in(state: str, organization_id: uuid.UUID) -> Build:
    """Make a build and move it to a state by legal moves."""
    build = make_build(make_project(organization_id))
    if state != BuildState.QUEUED.value:
        _move(build, BuildState.BUILDING.value)
    if state not in (BuildState.QUEUED.value, BuildState.BUILDING.value):
        _move(build, state)
    build.refresh_from_db()
    assert build.state == state
    return build


def snapshot() -> list[Any]:
    """Return everything a refused statement could have changed."""
    return [
        list(Build.objects.order_by("id").values()),
        list(BuildTransition.objects.order_by("id").values()),
        list(Account.objects.order_by("id").values()),
    ]


def _move(build: Build, to: str) -> None:
    moved = Build.objects.filter(id=build.id).update(state=to, moved_by="test", **orm_columns(to))
    assert moved == 1


__all__ = ["columns_for", "make_build_in", "orm_columns", "snapshot"]
