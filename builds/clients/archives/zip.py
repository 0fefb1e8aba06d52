"""Zip: the central directory decides, and local headers have to agree with it."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from builds.clients.archives.entries import CHUNK_BYTES, Entry
from builds.clients.archives.limits import Tally, unsafe
from builds.clients.archives.names import entry_parts
from builds.errors import ArchiveBomb, ArchiveInvalid, ArchiveTooManyFiles

_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_END64_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_LOCAL_HEADER_BYTES: Final = 30
_ENTRY_BYTES: Final = 46
_EXTRA_BYTES: Final = 1024
_COMMENT_BYTES: Final = 65_535
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_zip(file: BinaryIO, tally: Tally) -> Iterator[Entry]:
    """Yield the entries of a .zip.

    Raises: ArchiveInvalid for what is damaged, encrypted or compressed in another way than
    deflate, ArchiveBomb for entries that share bytes, ArchiveUnsafeEntry for links and specials.
    """
    _check_directory_size(file, tally)
    with _refusing(), zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        _check_overlap(infos, archive.start_dir)
        for info in infos:
            yield _entry(archive, info, tally)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, tally: Tally) -> Entry:
    name = info.orig_filename
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveInvalid("The archive is encrypted.")
    if info.compress_type not in _METHODS:
        raise ArchiveInvalid("The archive uses a compression other than deflate.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise unsafe(name, "is a link, a device or a pipe")
    parts = entry_parts(name.encode("utf-8", "surrogateescape"), tally.limits)
    if name.endswith("/") or kind == stat.S_IFDIR:
        if info.file_size or not name.endswith("/"):
            raise ArchiveInvalid("The archive is damaged: a directory has contents.")
        return Entry(parts, is_directory=True)
    if not parts:
        raise unsafe(name, "has no name")
    return Entry(parts, is_directory=False, chunks=_contents(archive, info, tally))


def _contents(archive: zipfile.ZipFile, info: zipfile.ZipInfo, tally: Tally) -> Iterator[bytes]:
    with _refusing(), archive.open(info) as file:
        while chunk := file.read(CHUNK_BYTES):
            tally.add_bytes(len(chunk))
            yield chunk


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what the standard library says about a bad archive into a refusal.

    Its texts quote the archive's bytes; ours do not.
    """
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise ArchiveInvalid("The archive is damaged.") from error
    except (NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError) as error:
        raise ArchiveInvalid("The archive uses something that a site has no need of.") from error


def _check_directory_size(file: BinaryIO, tally: Tally) -> None:
    """Bound the central directory before it is read into memory.

    Raises: ArchiveTooManyFiles, ArchiveInvalid also for zip64, which no source here needs.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _COMMENT_BYTES - 20))
    tail = file.read()
    at = tail.rfind(_END_MAGIC)
    if at < 0 or at + _END.size > len(tail):
        raise ArchiveInvalid("The archive is cut off, or is not a zip archive.")
    _, _, _, _, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if tail[max(0, at - 20) : at].startswith(_END64_LOCATOR_MAGIC) or count == 0xFFFF:
        raise ArchiveInvalid("The archive is a zip64 archive.")
    limits = tally.limits
    per_entry = _ENTRY_BYTES + limits.path_bytes + _EXTRA_BYTES
    if count > 2 * limits.files + 16 or directory_bytes > (count + 1) * per_entry:
        raise ArchiveTooManyFiles(
            f"The archive holds more than {limits.files} files or directories.",
            data={"maxFiles": limits.files},
        )


def _check_overlap(infos: list[zipfile.ZipInfo], directory_at: int) -> None:
    """Refuse entries that share bytes: one kernel of data can stand for thousands of files."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ArchiveBomb("The archive has entries that overlap.")
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
    if end > directory_at:
        raise ArchiveInvalid("The archive is damaged: an entry runs into the directory.")
