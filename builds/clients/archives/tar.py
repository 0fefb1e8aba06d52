"""Tar, as far as a site needs it: plain files and directories, nothing else.

The standard library's reader is made to restore anything (links, devices, sparse files) and
reads extended headers of any size into memory. This one knows POSIX ustar and pax and GNU long
names, holds 64 KiB of header at most, and refuses the rest by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from builds.clients.archives.entries import CHUNK_BYTES, Entry
from builds.clients.archives.gzip import GzipReader
from builds.clients.archives.limits import Tally, unsafe
from builds.clients.archives.names import entry_parts
from builds.errors import ArchiveBomb, ArchiveInvalid

BLOCK_BYTES: Final = 512
_EXTENDED_BYTES: Final = 64 * 1024
_FILES: Final = (b"0", b"\0", b"7")
_DIRECTORY: Final = b"5"
_REFUSED: Final = {
    b"1": "is a hard link",
    b"2": "is a symbolic link",
    b"3": "is a character device",
    b"4": "is a block device",
    b"6": "is a named pipe",
    b"S": "is a sparse file",
    b"K": "is a link",
    b"M": "is a part of a file on another volume",
}


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    kind: bytes
    size: int


def read_tar(file: BinaryIO, tally: Tally) -> Iterator[Entry]:
    """Yield the entries of a .tar.gz.

    Raises: ArchiveInvalid for what is cut off or damaged, ArchiveUnsafeEntry for entries that are
    not files or directories, ArchiveBomb for extended headers larger than 64 KiB.
    """
    stream = GzipReader(file)
    extended: dict[bytes, bytes] = {}
    while (header := _next_header(stream)) is not None:
        if header.kind in (b"x", b"g", b"L"):
            tally.add_directory(())
            extended |= _read_extended(stream, header)
            continue
        yield _entry(stream, header, extended, tally)
        extended = {}
    _drain(stream)


def _entry(
    stream: GzipReader, header: _Header, extended: dict[bytes, bytes], tally: Tally
) -> Entry:
    name = extended.get(b"path", header.name)
    size = _decimal(extended[b"size"]) if b"size" in extended else header.size
    if header.kind in _REFUSED:
        raise unsafe(name, _REFUSED[header.kind])
    if header.kind not in (*_FILES, _DIRECTORY):
        raise unsafe(name, f"is of an unknown type {ascii(header.kind)[2:-1]}")
    parts = entry_parts(name, tally.limits)
    # Before POSIX a directory was a file whose name ends in a slash.
    if header.kind == _DIRECTORY or name.endswith(b"/"):
        if size:
            raise ArchiveInvalid("The archive is damaged: a directory has contents.")
        return Entry(parts, is_directory=True)
    if not parts:
        raise unsafe(name, "has no name")
    return Entry(parts, is_directory=False, chunks=_contents(stream, size, tally))


def _contents(stream: GzipReader, size: int, tally: Tally) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read_exactly(min(left, CHUNK_BYTES))
        if not chunk:
            raise ArchiveInvalid("The archive is cut off.")
        tally.add_bytes(len(chunk))
        left -= len(chunk)
        yield chunk
    _skip_padding(stream, size)


def _next_header(stream: GzipReader) -> _Header | None:
    """Read the next header; None at the end of the archive."""
    block = stream.read_exactly(BLOCK_BYTES)
    if not block or not block.strip(b"\0"):
        return None
    if len(block) < BLOCK_BYTES:
        raise ArchiveInvalid("The archive is cut off.")
    # The checksum counts its own field as eight spaces.
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    if _number(block[148:156]) != total:
        raise ArchiveInvalid("The archive is damaged, or is not a tar archive.")
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].split(b"\0", 1)[0]
        name = prefix + b"/" + name if prefix else name
    size = _number(block[124:136])
    if size < 0:
        raise ArchiveInvalid("The archive is damaged: a size is not readable.")
    return _Header(name=name, kind=block[156:157], size=size)


def _read_extended(stream: GzipReader, header: _Header) -> dict[bytes, bytes]:
    """Read a pax header or a GNU long name; only `path` and `size` mean anything here."""
    if header.size > _EXTENDED_BYTES:
        raise ArchiveBomb("The archive has an extended header of more than 64 KiB.")
    data = stream.read_exactly(header.size)
    if len(data) < header.size:
        raise ArchiveInvalid("The archive is cut off.")
    _skip_padding(stream, header.size)
    if header.kind == b"L":
        return {b"path": data.split(b"\0", 1)[0]}
    records = _pax_records(data)
    for key in records:
        if key.startswith(b"GNU.sparse.") or key == b"linkpath":
            raise unsafe(records.get(b"path", key), "is a sparse file or a link")
    wanted = {key: records[key] for key in (b"path", b"size") if key in records}
    if wanted and header.kind == b"g":
        raise ArchiveInvalid("The archive has a global header that names every entry.")
    return wanted


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Parse `<length> <key>=<value>\\n` records; the length counts the whole record."""
    records: dict[bytes, bytes] = {}
    while data:
        digits, space, _ = data.partition(b" ")
        length = _decimal(digits)
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or length > len(data) or not value.endswith(b"\n"):
            raise ArchiveInvalid("The archive is damaged: an extended header is not readable.")
        records[key] = value[:-1]
        data = data[length:]
    return records


def _skip_padding(stream: GzipReader, size: int) -> None:
    padding = -size % BLOCK_BYTES
    if len(stream.read_exactly(padding)) < padding:
        raise ArchiveInvalid("The archive is cut off.")


def _drain(stream: GzipReader) -> None:
    """Read to the end: the checksum stands there, and nothing may hide behind the archive."""
    while chunk := stream.read_exactly(CHUNK_BYTES):
        if chunk.strip(b"\0"):
            raise ArchiveInvalid("The archive has data behind its end.")


def _number(field: bytes) -> int:
    """Read an octal number, or GNU's binary one (first bit set); -1 for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.replace(b"\0", b" ").strip()
    if digits.strip(b"01234567"):
        return -1
    return int(digits or b"0", 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 15:
        raise ArchiveInvalid("The archive is damaged: a number is not readable.")
    return int(digits)
