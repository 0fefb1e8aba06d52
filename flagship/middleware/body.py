"""Read a request's body once, whole, before any work begins."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings
from django.http import HttpRequest

from flagship.errors.requests import MalformedRequest

CHUNK_BYTES = 64 * 1024


@contextmanager
def buffered_body(request: HttpRequest) -> Iterator[bytes]:
    """Yield the SHA-256 of the body, which the view inside reads as if it came off the wire.

    A small body stays in memory, a large one waits in a temporary file. Inside another block for
    the same request it is not read again.

    Raises: MalformedRequest for a body shorter than its Content-Length.
    """
    known: bytes | None = getattr(request, "buffered_sha256", None)
    if known is not None:
        yield known
        return
    with _buffered(request) as digest:
        setattr(request, "buffered_sha256", digest)  # noqa: B010 (read above)
        yield digest


@contextmanager
def _buffered(request: HttpRequest) -> Iterator[bytes]:
    """Read it."""
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    if length <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        _assert_whole(len(request.body), length)
        yield hashlib.sha256(request.body).digest()
        return
    with tempfile.TemporaryFile() as spool:
        digest, received = _spool(request, spool)
        _assert_whole(received, length)
        spool.seek(0)
        # What Django itself does between a partial and a full read of its stream.
        request._stream = spool
        request._read_started = False  # type: ignore[attr-defined]  # private, unknown to the stubs
        yield digest


def _spool(request: HttpRequest, spool: IO[bytes]) -> tuple[bytes, int]:
    """Copy the body to a file; return its SHA-256 and length."""
    digest, received = hashlib.sha256(), 0
    while chunk := request.read(CHUNK_BYTES):
        digest.update(chunk)
        received += len(chunk)
        spool.write(chunk)
    return digest.digest(), received


def _assert_whole(received: int, length: int) -> None:
    """Refuse what was cut off on its way."""
    if received < length:
        raise MalformedRequest("The body is shorter than its Content-Length.")
