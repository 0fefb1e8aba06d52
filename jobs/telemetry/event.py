"""One event, made safe to store and to show (pure)."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

NAME: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
NAME_CHARS: Final = 100
DATA_BYTES: Final = 4096
TEXT_CHARS: Final = 500
ITEMS: Final = 50
DEPTH: Final = 4
REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|authorization|cookie|credential|signature|"
    r"(api|access|private|signing|hmac)[-_ ]?key",
    re.I,
)
_SECRET_TEXT: Final = re.compile(
    r"\bBearer\s+\S+|://[^/\s:@]*:[^/\s@]+@|\b[a-z]{2,6}_[0-9A-Za-z]{8,}_[0-9A-Za-z]{32,}\b", re.I
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened. `sequence` grows in the order in which events can be seen.

    `source` is the process that published it; an event without an organization is the platform's.
    """

    sequence: int
    name: str
    at: datetime
    organization_id: uuid.UUID | None
    source: str
    request_id: str
    correlation_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event on its way to the sink; `published_s` is a reading of the monotonic clock."""

    key: uuid.UUID
    name: str
    published_s: float
    organization_id: uuid.UUID | None
    source: str
    request_id: str
    correlation_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader may and wants to see.

    `organization_id` is whose events; `platform` adds those of no organization; `everyone` is for
    operators and lifts both. `name` is an event's name, or `job.*` for all that begin so; "" is
    any.
    """

    organization_id: uuid.UUID | None = None
    platform: bool = False
    everyone: bool = False
    name: str = ""

    def takes(self, event: Event) -> bool:
        """Tell whether the reader is shown this event."""
        return self._may_see(event.organization_id) and self._asks_for(event.name)

    def _may_see(self, organization_id: uuid.UUID | None) -> bool:
        if self.everyone:
            return True
        if organization_id is None:
            return self.platform
        return organization_id == self.organization_id

    def _asks_for(self, name: str) -> bool:
        if self.name.endswith(".*"):
            return name.startswith(self.name[:-1])
        return not self.name or name == self.name


EVERYTHING: Final = Wanted(everyone=True)


@dataclass(frozen=True, slots=True)
class Piece:
    """Events in their order, and the number up to which everything has been looked at."""

    events: list[Event] = field(default_factory=list)
    reached: int = 0


def clean(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of an event's data: JSON, named in camelCase, small, no secrets.

    Long texts are cut, deep or long containers too; values whose name or look is that of a
    secret are replaced. What is then still over DATA_BYTES is left out and its names are given.
    """
    cleaned = {_camel(_text(name)): _value(_text(name), value, 1) for name, value in data.items()}
    if len(json.dumps(cleaned).encode()) <= DATA_BYTES:
        return cleaned
    return {"isTruncated": True, "names": [name[:50] for name in list(cleaned)[:ITEMS]]}


def _value(name: str, value: Any, depth: int) -> Any:
    if _SECRET_NAME.search(name):
        return REDACTED
    if value is None or isinstance(value, bool | int):
        return value if value is None or abs(value) < 2**63 else str(value)[:TEXT_CHARS]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(name, value, depth)
    return _text(value)


def _container(name: str, value: Any, depth: int) -> Any:
    if depth >= DEPTH:
        return "…"
    if isinstance(value, Mapping):
        items = list(value.items())[:ITEMS]
        return {_text(key): _value(_text(key), inner, depth + 1) for key, inner in items}
    inner_values: Iterable[Any] = list(value)[:ITEMS]
    return [_value(name, inner, depth + 1) for inner in inner_values]


def _text(value: Any) -> str:
    """Return text that PostgreSQL can hold, without what looks like a secret, cut."""
    plain = str(value)[: 4 * TEXT_CHARS].replace("\x00", "\\x00")
    shown = _SECRET_TEXT.sub(REDACTED, plain.encode("utf-8", "backslashreplace").decode())
    return shown if len(shown) <= TEXT_CHARS else f"{shown[: TEXT_CHARS - 1]}…"


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
