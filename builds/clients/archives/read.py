"""Tell what an archive is and read it through, whichever kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from builds.clients.archives.entries import Entry
from builds.clients.archives.limits import ArchiveLimits, Tally
from builds.clients.archives.tar import read_tar
from builds.clients.archives.zip import read_zip
from builds.errors import ArchiveInvalid, ArchiveTooLarge

Kind = Literal["tar.gz", "zip"]


def archive_kind(path: Path, limits: ArchiveLimits) -> Kind:
    """Tell the kind of an archive by its first bytes; its name and media type say nothing.

    Raises: ArchiveTooLarge, ArchiveInvalid.
    """
    if path.stat().st_size > limits.archive_bytes:
        raise ArchiveTooLarge(
            f"The archive is larger than {limits.archive_bytes} bytes.",
            data={"maxBytes": limits.archive_bytes},
        )
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if magic in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    raise ArchiveInvalid("The file is neither a .tar.gz nor a .zip archive.")


def read_entries(path: Path, tally: Tally) -> Iterator[Entry]:
    """Yield the entries of an archive; names are checked, files and bytes are counted.

    Raises: every ArchiveRefused, as soon as its reason is read.
    """
    read = read_zip if archive_kind(path, tally.limits) == "zip" else read_tar
    with path.open("rb") as file:
        for entry in read(file, tally):
            if entry.is_directory:
                tally.add_directory(entry.parts)
            else:
                tally.add_file(entry.parts)
            yield entry
            for _ in entry.chunks:
                pass
    if not tally.files:
        raise ArchiveInvalid("The archive holds no files.")
