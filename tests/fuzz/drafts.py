"""A request before it is bytes, and what can be wrong with it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from tests.fuzz.document import Document, Operation
from tests.fuzz.values import ODD, RAW_JSON, broken, nonsense, spoiled
from tests.fuzz.wire import as_json

KEY_LENGTH: Final = 24
KEYED: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
KNOWN: Final = 0.6
"""How often an id in a path is one that exists."""


@dataclass(slots=True)
class World:
    """What requests are made of."""

    document: Document
    ids: dict[str, list[str]]
    secret: str
    archives: list[bytes]


@dataclass(slots=True)
class Draft:
    """A request in parts. `is_plain`: its method and target are still those that were chosen."""

    method: bytes
    target: bytes
    version: bytes = b"HTTP/1.1"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    framing: list[tuple[bytes, bytes]] | None = None
    is_plain: bool = True
    raw: bytes | None = None

    def set(self, name: bytes, value: bytes) -> None:
        """Give a header another value, or add it."""
        self.headers = [each for each in self.headers if each[0].lower() != name.lower()]
        self.headers.append((name, value))

    def to_bytes(self) -> bytes:
        """Return it as it goes over the wire; a length of its own unless one was chosen."""
        if self.raw is not None:
            return self.raw
        framing = self.framing
        if framing is None:
            framing = [(b"Content-Length", str(len(self.body)).encode())] if self.body else []
        lines = [b" ".join([self.method, self.target, self.version])]
        lines += [name + b": " + value for name, value in [*self.headers, *framing]]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    def operation(self, document: Document) -> Operation | None:
        """Return the operation it is for, as far as that can be told."""
        if not self.is_plain:
            return None
        path = unquote_to_bytes(self.target.partition(b"?")[0]).decode("utf-8", "replace")
        return document.find(self.method.decode("latin-1"), path)


def make_draft(dice: random.Random, world: World) -> Draft:
    """Return a request for some operation: well formed, its values right, odd or nonsense."""
    operation = dice.choice(world.document.operations)
    draft = Draft(operation.method.encode(), _target(dice, operation, world))
    draft.headers = [
        (b"Host", b"localhost"),
        (b"Connection", b"close"),
        (b"Authorization", f"Bearer {world.secret}".encode()),
    ]
    if dice.random() < 0.05:
        draft.headers.pop()
    key = "".join(dice.choices("abcdefghijklmnop", k=KEY_LENGTH))
    if operation.method in KEYED:
        draft.headers.append((b"Idempotency-Key", key.encode()))
    if operation.method in KEYED - {"DELETE"}:
        media_type, draft.body = _body(dice, operation, world)
        draft.headers.append((b"Content-Type", media_type.encode()))
        draft.framing = None if draft.body else [(b"Content-Length", b"0")]
    elif dice.random() < 0.1:
        draft.body = as_json(nonsense(dice, world.document.fields))
    return draft


def _target(dice: random.Random, operation: Operation, world: World) -> bytes:
    """Fill the path with ids that exist or are odd, the query with odd values."""
    path = operation.template
    while "{" in path:
        name = path[path.index("{") + 1 : path.index("}")]
        known = world.ids.get(name, []) if dice.random() < KNOWN else []
        value = dice.choice(known) if known else _quoted(dice) or "x"
        path = path[: path.index("{")] + value + path[path.index("}") + 1 :]
    known = [each["name"] for each in operation.parameters if each["in"] == "query"]
    pairs = [f"{name}={_query_value(dice)}" for name in known if dice.random() < 0.3]
    pairs += [f"unknown={_quoted(dice)}"] * (dice.random() < 0.03)
    return (path + ("?" + "&".join(pairs) if pairs else "")).encode()


def _query_value(dice: random.Random) -> str:
    return (
        dice.choice(["1", "10", "2026-01-01", "queued", "day"])
        if dice.random() < 0.4
        else (_quoted(dice))
    )


def _quoted(dice: random.Random) -> str:
    return quote(str(dice.choice(ODD)).encode("utf-8", "replace"), safe="")


def _body(dice: random.Random, operation: Operation, world: World) -> tuple[str, bytes]:
    """Return a media type and a body: right, spoiled, nonsense, or hardly JSON at all."""
    if "application/json" not in operation.body:
        binary = [each for each in operation.body if not each.startswith("multipart")]
        if binary:
            return dice.choice(binary), broken(dice, dice.choice(world.archives))
        return "application/json", b"" if dice.random() < 0.5 else as_json(dice.choice(ODD))
    examples: dict[str, Any] = operation.body["application/json"].get("examples", {})
    right = dice.choice([each["value"] for each in examples.values()] or [{}])
    right = with_ids(dice, right, world.ids)
    raw = as_json(right)
    match dice.randrange(6):
        case 0 | 1:
            raw = as_json(spoiled(dice, right, world.document.fields))
        case 2:
            raw = as_json(nonsense(dice, world.document.fields))
        case 3:
            raw = dice.choice(RAW_JSON)(dice)
        case 4:
            raw = broken(dice, raw)
    return "application/json", raw


def with_ids(dice: random.Random, value: Any, ids: dict[str, list[str]]) -> Any:
    """Return a body in which the ids are such that exist, mostly."""
    if isinstance(value, dict):
        return {name: with_ids(dice, each, ids) for name, each in value.items()}
    if isinstance(value, list):
        return [with_ids(dice, each, ids) for each in value]
    if isinstance(value, str):
        for known in ids.values():
            prefix = known[0].partition("_")[0] + "_"
            if value.startswith(prefix) and len(value) == len(known[0]) and dice.random() < 0.8:
                return dice.choice(known)
    return value
