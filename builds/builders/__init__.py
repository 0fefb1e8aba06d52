"""Builders: what turns a source into a site. One file per builder; see docs/builds.md."""

from __future__ import annotations

from builds.builders.builder import Builder, BuilderLimits
from builds.builders.registry import builder_names, get_builder

__all__ = ["Builder", "BuilderLimits", "builder_names", "get_builder"]
