"""Archives that nobody sends by accident, built in code."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path


def tar_member(
    name: str, data: bytes = b"x", **attributes: object
) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member whose header says what the attributes say."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    if info.type != tarfile.REGTYPE:
        info.size = int(str(attributes.get("size", 0)))
        data = b""
    return info, data


def tar_gz(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a .tar.gz of members, written without any check."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue())


def tar_file(name: str, data: bytes = b"x") -> bytes:
    """Return a .tar.gz of one file and a good index page."""
    return tar_gz(tar_member("index.html"), tar_member(name, data))


def raw_header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """Return one tar header with a right checksum, whatever it says."""
    header = bytearray(512)
    header[0 : len(name)] = name
    header[100:108] = b"0000644\0"
    header[124:136] = f"{size:011o}\0".encode()
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def zip_of(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip of entries, names as they are."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            # ZipInfo mends names; an attacker does not.
            info.filename = name
            info.compress_type = method
            archive.writestr(info, data)
    return raw.getvalue()


def zip_mode(name: str, mode: int) -> bytes:
    """Return a .zip whose entry claims a Unix mode."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, b"/etc/passwd")
    return raw.getvalue()


def zip_link(name: str) -> bytes:
    """Return a .zip with a symbolic link to /etc/passwd."""
    return zip_mode(name, stat.S_IFLNK | 0o777)


def zip_patched(offset: int, value: bytes, *, central: bool, data: bytes = b"x" * 100) -> bytes:
    """Return a .zip of one file with bytes of its local or central header replaced."""
    raw = bytearray(zip_of(("index.html", data)))
    at = raw.index(b"PK\x01\x02" if central else b"PK\x03\x04") + offset
    raw[at : at + len(value)] = value
    return bytes(raw)


def zip_overlapping(copies: int) -> bytes:
    """Return a .zip whose directory names the same bytes many times."""
    raw = zip_of(("a.html", b"\0" * 10_000))
    start = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entry = raw[start:end]
    directory = b"".join(entry.replace(b"a.html", f"{n:06}".encode()) for n in range(copies))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(directory), start, 0)
    return raw[:start] + directory + tail


def zip_directory(entries: int, says: int, *, zip64: bool) -> bytes:
    """Return a .zip that is nearly all directory; its end record admits to `says` entries only.

    With zip64, a second end record tells readers that know it the whole size.
    """
    local = zip_of(("index.html", b"x"))
    start = local.index(b"PK\x01\x02")
    entry = local[start : local.index(b"PK\x05\x06")]
    directory = b"".join(entry.replace(b"index.html", f"{n:010}".encode()) for n in range(entries))
    size = len(directory)
    admitted = len(entry) * says if zip64 else size
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, says, says, admitted, start, 0)
    if zip64:
        end64 = struct.pack(
            "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, start
        )
        end = end64 + struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1) + end
    return local[:start] + directory + end


def zip_lying_count(entries: int, says: int) -> bytes:
    """Return a .zip with more entries in its directory than its end record admits."""
    raw = bytearray(zip_of(*((f"{n}.html", b"") for n in range(entries))))
    at = raw.rindex(b"PK\x05\x06")
    raw[at + 8 : at + 12] = struct.pack("<2H", says, says)
    return bytes(raw)


def tar_zeros(size_mib: int) -> bytes:
    """Return a .tar.gz of one file of zeros, a gzip member per mebibyte."""
    header = gzip.compress(raw_header(b"zeros.bin", size_mib * 1024**2))
    return header + gzip.compress(bytes(1024**2)) * size_mib + gzip.compress(bytes(1024))


def zip_zeros(path: Path, size_mib: int) -> None:
    """Write a .zip of one file of zeros."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("zeros", "w", force_zip64=True) as file,
    ):
        for _ in range(size_mib):
            file.write(bytes(1024**2))
