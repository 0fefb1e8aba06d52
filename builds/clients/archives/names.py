"""Which names an entry of an archive may have."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from builds.clients.archives.limits import ArchiveLimits, unsafe

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_COMPONENT_BYTES: Final = 255


def entry_parts(raw: bytes, limits: ArchiveLimits) -> tuple[str, ...]:
    """Return the path of an entry as clean components; () is the top directory itself.

    `./` and doubled slashes are dropped. Nothing else is repaired: a name that would need it is
    refused, whatever an unpacker would make of it.
    Raises: ArchiveUnsafeEntry.
    """
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise unsafe(raw, "has a name that is not UTF-8") from None
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise unsafe(name, "has control characters in its name")
    if "\\" in name or _DRIVE.match(name):
        raise unsafe(name, "has a Windows path (use forward slashes, no drive)")
    if name.startswith("/"):
        raise unsafe(name, "has an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise unsafe(name, "has a path that leads upwards")
    if len(raw) > limits.path_bytes or len(parts) > limits.depth:
        raise unsafe(name, "has a path that is too long")
    if any(len(part.encode()) > _COMPONENT_BYTES for part in parts):
        raise unsafe(name, "has a name that is too long")
    return parts
