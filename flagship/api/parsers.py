"""Strict JSON (E-08)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import IO, Any, NoReturn

from rest_framework.parsers import BaseParser

from flagship.errors.requests import MalformedJson

DEEPEST = 32


class StrictJsonParser(BaseParser):
    """Reads one JSON value in UTF-8 and refuses what two readers could read differently.

    Refused: duplicate names, NaN and the infinities, numbers that overflow to one, NUL and lone
    surrogates in text (no database column can hold them), nesting over 32 levels.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the value.

        Raises: MalformedJson.
        """
        return loads(stream.read())


def loads(raw: bytes) -> Any:
    """Read strict JSON.

    Raises: MalformedJson, saying what is wrong and never quoting the body.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        told = f"{error.msg} at line {error.lineno}, column {error.colno}."
        raise MalformedJson(f"The body is not valid JSON: {told}") from error
    except UnicodeDecodeError as error:
        raise MalformedJson("The body is not UTF-8.") from error
    except RecursionError as error:
        raise MalformedJson(f"The body is nested deeper than {DEEPEST} levels.") from error
    except ValueError as error:
        raise MalformedJson("A number in the body has too many digits.") from error
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose names differ."""
    built = dict(pairs)
    if len(built) != len(pairs):
        raise MalformedJson("An object in the body has a name twice.")
    return built


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"{name} is not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise MalformedJson("A number in the body is out of range.")
    return number


def _check(value: Any) -> None:
    """Walk the value without recursion: its depth and its texts."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict | list):
            if depth > DEEPEST:
                raise MalformedJson(f"The body is nested deeper than {DEEPEST} levels.")
            parts = [*item, *item.values()] if isinstance(item, dict) else item
            waiting.extend((part, depth + 1) for part in parts)


def _check_text(text: str) -> None:
    """Refuse text that cannot be stored."""
    if "\x00" in text:
        raise MalformedJson("A text in the body holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MalformedJson("A text in the body holds a lone surrogate.") from error
