"""Content-addressed files: uploaded sources, built artifacts, and private workspaces.

    sources/ab/<sha256>      an uploaded archive, as received
    artifacts/ab/<sha256>/   a site as it is served
    work/<random>/           where builds run and files are drafted; never served

What stands under a digest was complete before it got that name (one rename) and never changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from builds.errors import ArchiveTooLarge, OutputTooLarge, OutputUnsafeEntry

_CHUNK_BYTES: Final = 1024 * 1024
_DEPTH: Final = 64
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An archive in the storage."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """A published directory in the storage."""

    path: Path
    sha256: str
    size_bytes: int
    file_count: int


def store_source(chunks: Iterable[bytes], max_bytes: int) -> StoredFile:
    """Keep an uploaded archive under its digest.

    The same bytes twice are one file; two uploads at once are harmless.
    Raises: ArchiveTooLarge as soon as the bytes pass the limit; nothing is kept.
    """
    digest = hashlib.sha256()
    size = 0
    handle, name = tempfile.mkstemp(prefix="source-", dir=_directory("work"))
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise ArchiveTooLarge(
                        f"The archive is larger than {max_bytes} bytes.",
                        data={"maxBytes": max_bytes},
                    )
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        path = source_path(digest.hexdigest())
        _make_parent(path)
        draft.rename(path)
        _sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return StoredFile(path=path, sha256=digest.hexdigest(), size_bytes=size)


def source_path(sha256: str) -> Path:
    """Return where the archive of a digest is, or would be."""
    return _addressed("sources", sha256)


def artifact_path(sha256: str) -> Path:
    """Return where the artifact of a digest is, or would be."""
    return _addressed("artifacts", sha256)


def store_artifact(
    directory: Path, *, max_bytes: int | None = None, max_files: int | None = None
) -> StoredArtifact:
    """Keep a built site under the digest of its names and contents.

    The digest is the SHA-256 of one line `<sha256> <size> <path>` per file, sorted by path. Files
    are copied, never moved: a process that kept one open cannot change what is served. Empty
    directories, owners, times and modes do not count (files become 0644, directories 0755).
    Raises: OutputUnsafeEntry for links and special files, OutputTooLarge; nothing is kept.
    """
    draft = Path(tempfile.mkdtemp(prefix="artifact-", dir=_directory("work")))
    try:
        copy = _Copy(max_bytes=max_bytes, max_files=max_files)
        site = draft / "site"
        site.mkdir(mode=0o755)
        copy.tree(directory, site)
        path = artifact_path(copy.digest())
        _make_parent(path)
        # A twin may have been faster: what is there has the same content.
        with contextlib.suppress(FileExistsError):
            _rename_new(site, path)
        _sync_directory(path.parent)
    finally:
        remove_tree(draft)
    return StoredArtifact(
        path=path, sha256=path.name, size_bytes=copy.size_bytes, file_count=len(copy.lines)
    )


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """Lend a private directory (0700) and remove it afterwards, whatever is in it.

    A lock is held on it meanwhile, so that the sweep tells a running build from a dead one's.
    """
    path = Path(tempfile.mkdtemp(prefix="build-", dir=_directory("work")))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        remove_tree(path)
        os.close(descriptor)


def sweep_workspaces(older_than_s: float) -> int:
    """Remove what killed workers left in the work directory; return how many entries went.

    Locked workspaces are in use and stay, however old.
    """
    before = time.time() - older_than_s
    removed = 0
    for path in _directory("work").iterdir():
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            if path.lstat().st_mtime > before:
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
                removed += 1
            finally:
                os.close(descriptor)
    return removed


def remove_tree(path: Path) -> None:
    """Remove a file or directory, whatever its modes and however deep; links are not followed.

    Inner directories are moved to the top before they are emptied: no path grows with the depth
    of the tree, which a build may have made deeper than paths can be written down.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    while directories := _unlink_files(path):
        for directory in directories:
            for inner in _unlink_files(directory):
                inner.rename(path / uuid.uuid4().hex)
            directory.rmdir()
    path.rmdir()


def _unlink_files(directory: Path) -> list[Path]:
    """Unlink all but the directories in a directory; return those, unlocked."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                directories.append(Path(entry.path))
            else:
                os.unlink(entry.path)
    return directories


class _Copy:
    """Copies a tree of regular files and remembers what makes up its digest."""

    def __init__(self, *, max_bytes: int | None, max_files: int | None) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self.size_bytes = 0
        self.lines: list[tuple[str, str]] = []

    def tree(self, source: Path, target: Path, prefix: str = "") -> None:
        if prefix.count("/") > _DEPTH:
            raise _unsafe(prefix, "lies too deep")
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                inner = target / entry.name
                inner.mkdir(mode=0o755)
                self.tree(Path(entry.path), inner, f"{name}/")
                if not any(inner.iterdir()):
                    inner.rmdir()
            else:
                self._file(Path(entry.path), target / entry.name, name)

    def digest(self) -> str:
        lines = sorted(self.lines)
        return hashlib.sha256("".join(f"{line}\n" for _, line in lines).encode()).hexdigest()

    def _file(self, source: Path, target: Path, name: str) -> None:
        if not name.isprintable():
            raise _unsafe(name, "has a name that cannot be served")
        try:
            handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            raise _unsafe(name, "is not a readable file") from None
        with os.fdopen(handle, "rb") as reader, target.open("xb") as writer:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise _unsafe(name, "is not a file of its own")
            digest = hashlib.sha256()
            size = 0
            while chunk := reader.read(_CHUNK_BYTES):
                size += len(chunk)
                self._count(len(chunk))
                digest.update(chunk)
                writer.write(chunk)
            writer.flush()
            os.fchmod(writer.fileno(), 0o644)
            os.fsync(writer.fileno())
        self.lines.append((name, f"{digest.hexdigest()} {size} {name}"))
        if self._max_files is not None and len(self.lines) > self._max_files:
            raise OutputTooLarge(f"The site has more than {self._max_files} files.")

    def _count(self, size: int) -> None:
        self.size_bytes += size
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            raise OutputTooLarge(f"The site is larger than {self._max_bytes} bytes.")


def _unsafe(name: str, reason: str) -> OutputUnsafeEntry:
    shown = name[:200].encode(errors="backslashreplace").decode()
    return OutputUnsafeEntry(f"{shown} {reason}.", data={"entry": shown})


def _directory(room: str) -> Path:
    path = Path(settings.STORAGE_DIR) / room
    # Others may pass through (a sandboxed build runs as somebody else), not look around.
    path.mkdir(mode=0o711, parents=True, exist_ok=True)
    return path


def _addressed(room: str, sha256: str) -> Path:
    if not _DIGEST.fullmatch(sha256):
        raise ValueError(f"not a SHA-256 digest: {sha256[:80]!r}")
    return Path(settings.STORAGE_DIR) / room / sha256[:2] / sha256


def _make_parent(path: Path) -> None:
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)


def _rename_new(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if target.is_dir():
            raise FileExistsError(str(target)) from error
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
