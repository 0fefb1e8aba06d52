"""The shared file in which every job leaves its start and its end."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Stamps:
    """`count` pairs of doubles, monotonic seconds; zero is "not yet"."""

    path: Path
    count: int

    @classmethod
    def new(cls, path: Path, count: int, spare: int = 0) -> Stamps:
        """Make the file anew, empty, with room for some numbers more."""
        path.write_bytes(bytes(16 * (count + spare)))
        return cls(path, count)

    def pairs(self) -> list[tuple[float, float]]:
        """Return every job's start and end."""
        return list(struct.iter_unpack("dd", self.path.read_bytes()[: 16 * self.count]))

    def missing(self) -> int:
        """Return how many jobs have not ended."""
        return sum(not end for _, end in self.pairs())

    def span(self) -> tuple[float, float]:
        """Return the first start and the last end of the jobs that ended."""
        ended = [(start, end) for start, end in self.pairs() if end]
        return min(start for start, _ in ended), max(end for _, end in ended)
