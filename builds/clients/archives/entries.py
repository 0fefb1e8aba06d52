"""What both kinds of archive are read as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory of an archive; a file's chunks have to be read before the next entry."""

    parts: tuple[str, ...]
    is_directory: bool
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        # The second wall: whatever the checks of names let through, no component walks.
        if any(part in ("", ".", "..") or "/" in part for part in self.parts):
            raise ValueError(f"not plain components: {self.parts!r}")
