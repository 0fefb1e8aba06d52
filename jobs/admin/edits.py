"""A payload as an operator edits it: what he is shown, what he wrote, and what differs (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from jobs.admin.display import MASK, SECRET_KEY

EDITED_CHARACTERS: Final = 100_000
_ABSENT: Final = object()


class Unreadable(ValueError):
    """What was written is no payload; says in words for the operator why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; `was` or `becomes` is empty where there was, or will be, none."""

    field: str
    was: str
    becomes: str


def editable(payload: Any) -> str:
    """Write a payload for editing, values of secret-looking keys masked."""
    return json.dumps(_hidden(payload), indent=2, ensure_ascii=False, sort_keys=True)


def read_edited(text: str, original: dict[str, Any]) -> dict[str, Any]:
    """Read what an operator wrote; a value that is masked still is what it was.

    Raises: Unreadable.
    """
    if len(text) > EDITED_CHARACTERS:
        raise Unreadable(f"A payload has at most {EDITED_CHARACTERS:,} characters.")
    try:
        edited = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(f"This is not JSON: {error.msg} ({place}).") from None
    if not isinstance(edited, dict):
        raise Unreadable("A payload is a JSON object: { ... }.")
    if not _is_storable(edited):
        raise Unreadable("The payload holds a character that cannot be stored.")
    restored: dict[str, Any] = _restored(edited, original, "")
    return restored


def changes(before: Any, after: Any, field: str = "") -> Iterator[Change]:
    """Yield what differs, innermost values, by their path: `customer.address[0].city`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            path = f"{field}.{key}" if field else key
            yield from changes(before.get(key, _ABSENT), after.get(key, _ABSENT), path)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from changes(old, new, f"{field}[{index}]")
    elif before is _ABSENT or after is _ABSENT or _text(before) != _text(after):
        is_secret = bool(SECRET_KEY.search(field.rpartition(".")[2]))
        yield Change(field, _told(before, is_secret), _told(after, is_secret))


def _hidden(value: Any) -> Any:
    """Copy a JSON value with the values of secret-looking keys masked, at any depth."""
    if isinstance(value, dict):
        return {
            key: MASK if SECRET_KEY.search(key) else _hidden(item) for key, item in value.items()
        }
    return [_hidden(item) for item in value] if isinstance(value, list) else value


def _restored(value: Any, original: Any, field: str) -> Any:
    """Copy a JSON value with what is masked in it put back. Raises: Unreadable."""
    if isinstance(value, dict):
        known = original if isinstance(original, dict) else {}
        return {
            key: _unmasked(known, key, field)
            if item == MASK and SECRET_KEY.search(key)
            else _restored(item, known.get(key), f"{field}{key}.")
            for key, item in value.items()
        }
    if isinstance(value, list):
        known_items = original if isinstance(original, list) else []
        return [
            _restored(item, known_items[at] if at < len(known_items) else None, f"{field}{at}.")
            for at, item in enumerate(value)
        ]
    return value


def _unmasked(known: dict[str, Any], key: str, field: str) -> Any:
    if key not in known:
        raise Unreadable(f"{field}{key} is masked, and there was none: write its value.")
    return known[key]


def _refuse_constant(name: str) -> None:
    raise Unreadable(f"{name} is no JSON.")


def _is_storable(value: Any) -> bool:
    """Tell whether PostgreSQL can hold a JSON value: no NUL, no half of a character."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _told(value: Any, is_secret: bool) -> str:
    if value is _ABSENT:
        return ""
    return MASK if is_secret else _text(_hidden(value))
