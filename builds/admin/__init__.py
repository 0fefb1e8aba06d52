"""The operations console of builds, one file per noun; all of it read-only."""

from __future__ import annotations

from builds.admin import builds, fetches, overview, projects, sources, usage

__all__ = ["builds", "fetches", "overview", "projects", "sources", "usage"]
