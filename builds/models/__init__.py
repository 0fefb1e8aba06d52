"""Rows of the builds domain."""

from __future__ import annotations

from builds.models.build import Build
from builds.models.event import BuildEvent
from builds.models.fetch import Fetch
from builds.models.log import BuildLogLine, BuildTransition
from builds.models.project import Project
from builds.models.rollup import BuildDay, CreditDay, RolledDay, SegmentDay, UserDay
from builds.models.source import Source

__all__ = [
    "Build",
    "BuildDay",
    "BuildEvent",
    "BuildLogLine",
    "BuildTransition",
    "CreditDay",
    "Fetch",
    "Project",
    "RolledDay",
    "SegmentDay",
    "Source",
    "UserDay",
]
