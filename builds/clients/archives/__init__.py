"""Look into and unpack uploaded archives without trusting them."""

from __future__ import annotations

from builds.clients.archives.extract import extract_archive, source_root
from builds.clients.archives.inspect import ArchiveSummary, inspect_archive
from builds.clients.archives.limits import ArchiveLimits

__all__ = [
    "ArchiveLimits",
    "ArchiveSummary",
    "extract_archive",
    "inspect_archive",
    "source_root",
]
