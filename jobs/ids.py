"""Identifiers: time-ordered UUIDs inside, prefixed text outside."""

from __future__ import annotations

import uuid

import uuid_utils.compat


class MalformedId(ValueError):
    """The text is not a public id with the expected prefix."""


def new_id() -> uuid.UUID:
    """Return a UUID version 7 (RFC 9562): time-ordered, so that indexes grow at one end."""
    return uuid_utils.compat.uuid7()


def public_id(prefix: str, value: uuid.UUID) -> str:
    """Write an id as clients see it: `build_` and 32 hexadecimal digits."""
    return f"{prefix}_{value.hex}"


def parse_public_id(prefix: str, text: str) -> uuid.UUID:
    """Read a public id back.

    Raises: MalformedId for another prefix, other length or anything but lower-case hex digits.
    """
    head, separator, digits = text.partition("_")
    if head != prefix or not separator or len(digits) != 32 or digits.strip("0123456789abcdef"):
        raise MalformedId(f"expected {prefix}_ and 32 lower-case hex digits")
    return uuid.UUID(hex=digits)


def id_pattern(prefix: str) -> str:
    """Return the regular expression of such ids, as JSON Schema has it."""
    return f"^{prefix}_[0-9a-f]{{32}}$"
