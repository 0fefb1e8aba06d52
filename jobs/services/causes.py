"""What deaths of the same cause have in common (pure)."""

from __future__ import annotations

import hashlib
import re
import sysconfig
import traceback
from types import FrameType
from typing import Final

VERSION: Final = 2
"""Grows with every change of what a cause is, so that old groups and new ones are told apart.

1 was kind, error class and the last frame, without a number in front of it.
"""
FRAMES_MAX: Final = 12
MESSAGE_CHARS: Final = 300

_PLUMBING: Final = "jobs.worker."
"""Every handler is called from there: it says nothing of the cause."""

_OTHERS: Final = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

# What differs from death to death of one cause, the longest forms first.
_VARIABLE: Final = (
    (re.compile(r"\b[a-z]{2,10}_[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<n>"),
    (re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def cause_of(error: BaseException) -> str:
    """Say what an error was caused by: the frames of our own code and its normalised message.

    Frames are modules and functions, not lines: a comment that is added above makes no new cause.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if _is_own(frame)][-FRAMES_MAX:]
    places = [_place(frame) for frame in own or frames[-1:]]
    return "\n".join((*places, normalised(str(error))))


def normalised(message: str) -> str:
    """Return the first line of a message without what differs between deaths of one cause.

    Ids, hashes, addresses, numbers and times become placeholders; words in quotes stay, since
    they often are the cause: `no column 'size'`.
    """
    line = message.strip().partition("\n")[0][: 4 * MESSAGE_CHARS]
    for pattern, placeholder in _VARIABLE:
        line = pattern.sub(placeholder, line)
    return line[:MESSAGE_CHARS]


def fingerprint_of(kind: str, error_class: str, cause: str) -> str:
    """Return the key that deaths of the same cause share: `v2-` and 40 hexadecimal digits."""
    text = "\n".join((kind, error_class, cause))
    return f"v{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _is_own(frame: FrameType) -> bool:
    """Tell our code from the language's, from packages' and from what runs every handler."""
    if str(frame.f_globals.get("__name__", "")).startswith(_PLUMBING):
        return False
    return not frame.f_code.co_filename.startswith(_OTHERS)


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_qualname}"
