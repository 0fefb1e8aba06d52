"""Gzip, read in bounded steps."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from builds.clients.archives.entries import CHUNK_BYTES
from builds.errors import ArchiveInvalid

# Parallel compressors write one member per 64 KiB block or so.
_MEMBERS: Final = 20_000


class GzipReader:
    """The decompressed bytes of a gzip file, a chunk at a time.

    Checks lengths and checksums to the end of the file. Members may follow each other, and zeros
    may pad the end; anything else after a member is refused.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(wbits=31)
        self._input = b""
        self._output = b""
        self._members = 0
        self._ended = False

    def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes, or less only at the very end. Units: at most CHUNK_BYTES."""
        while len(self._output) < size and not self._ended:
            self._output += self._step()
        taken, self._output = self._output[:size], self._output[size:]
        return taken

    def _step(self) -> bytes:
        if self._inflate.eof and not self._next_member():
            self._ended = True
            return b""
        if not self._input:
            self._input = self._file.read(CHUNK_BYTES)
            if not self._input:
                raise ArchiveInvalid("The archive is cut off.")
        try:
            output = self._inflate.decompress(self._input, CHUNK_BYTES)
        except zlib.error as error:
            raise ArchiveInvalid("The archive is damaged: its compressed data is wrong.") from error
        self._input = (
            self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        )
        return output

    def _next_member(self) -> bool:
        """Start the next member; False at the end of the file."""
        self._members += 1
        if self._members > _MEMBERS:
            raise ArchiveInvalid("The archive has too many gzip members.")
        while not (rest := self._input.lstrip(b"\0")):
            self._input = self._file.read(CHUNK_BYTES)
            if not self._input:
                return False
        self._input = rest
        self._inflate = zlib.decompressobj(wbits=31)
        return True
