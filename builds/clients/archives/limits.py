"""How much an archive may hold, and the tally kept while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from builds.errors import ArchiveBomb, ArchiveTooManyFiles, ArchiveUnsafeEntry

# Small archives of repetitive text compress well; below this the ratio says nothing.
_RATIO_FREE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits of one source archive.

    Units: bytes of the archive, bytes of all unpacked files, number of files (and as many
    directories), bytes of one path, directories in one path, unpacked bytes per archive byte
    (looked at from 16 MiB on).
    """

    archive_bytes: int
    unpacked_bytes: int
    files: int
    path_bytes: int = 1024
    depth: int = 32
    ratio: int = 250


@dataclass(slots=True)
class Tally:
    """Counts what an archive really holds; headers are not believed.

    Every path is seen once: a second file of the same name, or a file where a directory is,
    would make the outcome depend on the order of unpacking.
    """

    limits: ArchiveLimits
    archive_bytes: int
    unpacked_bytes: int = 0
    files: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    entries: int = 0

    def add_directory(self, parts: tuple[str, ...]) -> None:
        """Count an entry for a directory; naming one again is harmless."""
        self._add_entry()
        self._add_parents(parts)

    def add_file(self, parts: tuple[str, ...]) -> None:
        """Count an entry for a file.

        Raises: ArchiveUnsafeEntry for a name seen before, ArchiveTooManyFiles.
        """
        self._add_entry()
        self._add_parents(parts[:-1])
        path = "/".join(parts)
        if path in self.files or path in self.directories:
            raise unsafe(path, "is in the archive twice")
        self.files.add(path)
        if len(self.files) > self.limits.files:
            raise self._too_many()

    def add_bytes(self, size: int) -> None:
        """Count unpacked bytes as they are produced.

        Raises: ArchiveBomb past the absolute limit or the ratio.
        """
        self.unpacked_bytes += size
        limits = self.limits
        if self.unpacked_bytes > limits.unpacked_bytes:
            raise ArchiveBomb(
                f"The archive unpacks to more than {limits.unpacked_bytes} bytes.",
                data={"maxUnpackedBytes": limits.unpacked_bytes},
            )
        if self.unpacked_bytes > max(_RATIO_FREE_BYTES, limits.ratio * self.archive_bytes):
            raise ArchiveBomb(
                f"The archive unpacks to more than {limits.ratio} times its size.",
                data={"maxRatio": limits.ratio},
            )

    def _add_parents(self, parts: tuple[str, ...]) -> None:
        for length in range(1, len(parts) + 1):
            path = "/".join(parts[:length])
            if path in self.files:
                raise unsafe(path, "is a file and a directory at once")
            self.directories.add(path)
        if len(self.directories) > self.limits.files:
            raise self._too_many()

    def _add_entry(self) -> None:
        self.entries += 1
        if self.entries > 2 * self.limits.files + 16:
            raise self._too_many()

    def _too_many(self) -> ArchiveTooManyFiles:
        return ArchiveTooManyFiles(
            f"The archive holds more than {self.limits.files} files or directories.",
            data={"maxFiles": self.limits.files},
        )


def unsafe(name: str | bytes, reason: str) -> ArchiveUnsafeEntry:
    """Return the refusal of an entry, its name made harmless for logs and answers."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:200])
    return ArchiveUnsafeEntry(f"Entry `{shown}` {reason}.", data={"entry": shown})
