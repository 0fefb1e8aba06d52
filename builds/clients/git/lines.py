"""Packet lines: git's framing (gitprotocol-common(5)); four hexadecimal digits, then that much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from builds.errors import RepositoryRefused

FLUSH: Final = b"0000"
DELIMITER: Final = b"0001"
_DATA, _PROGRESS, _ERROR = 1, 2, 3


def packet(text: str) -> bytes:
    """Return a line as a packet."""
    data = f"{text}\n".encode()
    return f"{len(data) + 4:04x}".encode() + data


def packets(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the packets of an answer, None for each of the special ones between them.

    Raises: RepositoryRefused for what is no packet, is cut off, or is the server's own refusal.
    """
    source, rest = iter(chunks), b""
    while True:
        while len(rest) < 4:
            chunk = next(source, None)
            if chunk is None:
                if rest:
                    raise RepositoryRefused("The server's answer is cut off.")
                return
            rest += chunk
        size = _size(rest[:4])
        if size < 4:
            rest = rest[4:]
            yield None
            continue
        parts, have = [rest], len(rest)
        while have < size:
            chunk = next(source, None)
            if chunk is None:
                raise RepositoryRefused("The server's answer is cut off.")
            parts.append(chunk)
            have += len(chunk)
        rest = b"".join(parts)
        data, rest = rest[4:size], rest[size:]
        if data.startswith(b"ERR "):
            raise RepositoryRefused(f"The server says: {shown(data[4:])}")
        yield data


def side_band(lines: Iterator[bytes | None]) -> Iterator[bytes]:
    """Yield the data of a side-band up to its end; progress is dropped.

    Raises: RepositoryRefused for the server's error and for anything else.
    """
    for line in lines:
        if line is None:
            return
        band = line[0] if line else 0
        if band == _DATA:
            yield line[1:]
        elif band == _ERROR:
            raise RepositoryRefused(f"The server says: {shown(line[1:])}")
        elif band != _PROGRESS:
            raise RepositoryRefused("The server's answer is not a pack.")


def shown(data: bytes) -> str:
    """Return a stranger's words, fit for a message."""
    text = data[:200].decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _size(digits: bytes) -> int:
    try:
        size = int(digits, 16)
    except ValueError:
        size = 3
    if size == 3 or not digits.isalnum():
        raise RepositoryRefused("The server's answer is not git's protocol.")
    return size
