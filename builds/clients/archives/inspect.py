"""Read an archive through without writing anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from builds.clients.archives.limits import ArchiveLimits, Tally
from builds.clients.archives.read import Kind, archive_kind, read_entries


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What an archive is and holds, counted while it was read."""

    kind: Kind
    sha256: str
    size_bytes: int
    file_count: int
    unpacked_bytes: int


def inspect_archive(path: Path, limits: ArchiveLimits) -> ArchiveSummary:
    """Read a whole archive, judge every entry and count what it holds.

    Memory stays bounded whatever the archive claims or contains.
    Raises: ArchiveTooLarge, ArchiveInvalid, ArchiveUnsafeEntry, ArchiveTooManyFiles, ArchiveBomb.
    Source: B-05.
    """
    kind = archive_kind(path, limits)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    tally = Tally(limits, path.stat().st_size)
    for _ in read_entries(path, tally):
        pass
    return ArchiveSummary(
        kind=kind,
        sha256=sha256,
        size_bytes=tally.archive_bytes,
        file_count=len(tally.files),
        unpacked_bytes=tally.unpacked_bytes,
    )
