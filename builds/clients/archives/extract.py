"""Unpack an archive below one directory, and nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from builds.clients.archives.entries import Entry
from builds.clients.archives.limits import ArchiveLimits, Tally
from builds.clients.archives.read import read_entries

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Litter of archivers that may stand beside the directory that wraps a site.
_LITTER: Final = frozenset({"__MACOSX", ".DS_Store"})


def extract_archive(path: Path, destination: Path, limits: ArchiveLimits) -> None:
    """Unpack an archive into a new or empty directory.

    Only files (0644) and directories (0755) are made, each opened relative to its parent's
    descriptor, never through a link and never over something: even a name that slipped through
    the checks could not leave the destination. All or nothing: a refusal leaves it empty.
    Raises: as inspect_archive; FileExistsError when the destination holds something.
    """
    destination.mkdir(mode=0o755, exist_ok=True)
    if any(destination.iterdir()):
        raise FileExistsError(f"{destination} is not empty")
    try:
        top = os.open(destination, _DIRECTORY_FLAGS)
        try:
            os.fchmod(top, 0o755)
            for entry in read_entries(path, Tally(limits, path.stat().st_size)):
                _write(top, entry)
        finally:
            os.close(top)
    except BaseException:
        for child in destination.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        raise


def source_root(directory: Path) -> Path:
    """Return where a source starts: inside a single directory that wraps everything, if any."""
    children = [child for child in directory.iterdir() if child.name not in _LITTER]
    if len(children) == 1 and children[0].is_dir():
        return children[0]
    return directory


def _write(top: int, entry: Entry) -> None:
    if entry.is_directory:
        with _opened(top, entry.parts):
            return
    with _opened(top, entry.parts[:-1]) as parent:
        handle = os.open(entry.parts[-1], _FILE_FLAGS, 0o644, dir_fd=parent)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)
            for chunk in entry.chunks:
                file.write(chunk)


@contextmanager
def _opened(top: int, parts: tuple[str, ...]) -> Iterator[int]:
    """Open a directory below `top`, component by component, making what is missing."""
    current = os.dup(top)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=current)
            inner = os.open(part, _DIRECTORY_FLAGS, dir_fd=current)
            os.close(current)
            current = inner
            os.fchmod(current, 0o755)
        yield current
    finally:
        os.close(current)
