"""What exactly is signed."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

MARKS: Final = {"v1": "BUILD-HMAC-SHA256-V1", "v2": "BUILD-HMAC-SHA256-V2"}

# One line each, fullmatch only: no field can hold CR, LF or NUL, so that joining is unambiguous.
_SHAPES: Final = {
    "key_id": re.compile(r"sig_[0-9a-f]{32}"),
    "timestamp": re.compile(r"[1-9][0-9]{0,10}"),
    "nonce": re.compile(r"[A-Za-z0-9_-]{22,64}"),
    "content_sha256": re.compile(r"[0-9a-f]{64}"),
    "method": re.compile(r"[A-Z]{1,16}"),
    "host": re.compile(r"[A-Za-z0-9._:\[\]-]{1,260}"),
    "path": re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,2047}"),
    "query": re.compile(r"[\x21-\x7e]{0,8192}"),
    "content_type": re.compile(r"[\x20-\x7e]{0,256}"),
    "idempotency_key": re.compile(r"[\x20-\x7e]{0,257}"),
}
_DOUBLED: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)")
_SIGNATURE: Final = re.compile(
    r"(?:v1=(?P<v1>[0-9a-f]{64})(?:,(?=v2=)|\Z))?(?:v2=(?P<v2>[0-9a-f]{64}))?"
)


class Malformed(ValueError):
    """The request cannot be signed as it is; the text names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A request as it was sent; a header that is missing is "".

    `path` and `query` as on the request line, without the question mark; `signature` and the
    four before it are the X- headers. Of headers that came twice the server joins the values with
    a comma, which none of these fields may hold where two would be a lie.
    """

    method: str
    host: str
    path: str
    query: str = ""
    content_type: str = ""
    idempotency_key: str = ""
    key_id: str = ""
    timestamp: str = ""
    nonce: str = ""
    content_sha256: str = ""
    signature: str = ""

    @property
    def is_signed(self) -> bool:
        """Tell whether any part of a signature is there: from then on the signature counts."""
        parts = (self.key_id, self.timestamp, self.nonce, self.content_sha256, self.signature)
        return any(parts)


def read_signatures(presented: Presented) -> dict[str, str]:
    """Return the hexadecimal signatures by version, at most one of each.

    Raises: Malformed.
    """
    match = _SIGNATURE.fullmatch(presented.signature)
    if match is None or not presented.signature:
        raise Malformed("signature")
    return {version: value for version, value in match.groupdict().items() if value}


def check_shapes(presented: Presented) -> None:
    """Refuse what a proxy, Django and the signer could read in different ways.

    Raises: Malformed.
    """
    for name, shape in _SHAPES.items():
        if not shape.fullmatch(getattr(presented, name)):
            raise Malformed(name)
    if _DOUBLED.search(presented.path):
        raise Malformed("path")


def canonical_query(query: str) -> str:
    """Return the raw pieces of a query sorted by bytes, duplicates kept.

    Pieces of one name have to be sent in that order already: the view reads the last of them, so
    that an order of their own would be a meaning that nobody signed.

    Raises: Malformed where they are not.
    """
    pieces = query.split("&")
    named: dict[str, list[str]] = defaultdict(list)
    for piece in pieces:
        named[unquote_plus(piece.partition("=")[0])].append(piece)
    if any(same != sorted(same) for same in named.values()):
        raise Malformed("query")
    return "&".join(sorted(pieces))


def canonical_string(presented: Presented, *, version: str = "v2") -> bytes:
    """Return the bytes that are signed: fields joined by a line feed, none at the end.

    v1 covers who, when and the body; v2 covers the whole request.

    Raises: Malformed.
    """
    check_shapes(presented)
    who = (MARKS[version], presented.key_id, presented.timestamp, presented.nonce)
    if version == "v1":
        return "\n".join((*who, presented.content_sha256)).encode("ascii")
    what = (
        presented.method,
        presented.host.lower(),
        presented.path,
        canonical_query(presented.query),
        presented.content_type.lower(),
        presented.idempotency_key,
        presented.content_sha256,
    )
    return "\n".join((*who, *what)).encode("ascii")
