"""Archives made in memory, good and bad."""

from __future__ import annotations

import io
import tarfile
import zipfile

INDEX = b"<!doctype html><h1>Home</h1>"


def tar_gz(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    """Pack files, and entries that are no files, into a .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry)
    return packed.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """Pack files into a .zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    """A symbolic link."""
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE
    entry.linkname = target
    return entry


def multipart(files: list[tuple[str, bytes]], fields: dict[str, str] | None = None) -> bytes:
    """A form with the boundary `xyz`."""
    parts = []
    for name, value in (fields or {}).items():
        head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        parts.append(head.encode() + value.encode() + b"\r\n")
    for name, content in files:
        head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="a.zip"\r\n'
        parts.append(head.encode() + b"Content-Type: application/zip\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + b"--xyz--\r\n"


MULTIPART = "multipart/form-data; boundary=xyz"
