"""Cut a process's output into lines that are fit for a log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LINE_BYTES: Final = 8 * 1024
# A carriage return at the end of a chunk waits for what follows it.
_ENDS: Final = re.compile(rb"\r?\n|\r(?=[^\n])")
# Escape sequences of terminals: CSI, OSC up to its end, two-character ones.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class LineCutter:
    """Turns chunks of bytes into lines of text, however they were split.

    Lines are cut at 8 KiB and the rest of them is dropped; bytes that are not UTF-8 become
    replacement characters; escape sequences and control characters but the tab are taken out.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that end in this chunk."""
        *ended, self._rest = _ENDS.split(self._rest + chunk)
        for line in ended:
            if self._is_skipping:
                self._is_skipping = False
            else:
                yield _clean(line)
        if len(self._rest) > LINE_BYTES:
            if not self._is_skipping:
                yield _clean(self._rest)
            self._is_skipping, self._rest = True, b""

    def close(self) -> Iterator[str]:
        """Yield what the last line was, if it had no end."""
        if self._rest and not self._is_skipping:
            yield _clean(self._rest)


def _clean(line: bytes) -> str:
    mark = " [cut]" if len(line) > LINE_BYTES else ""
    text = line[:LINE_BYTES].decode("utf-8", "replace")
    return _CONTROLS.sub("", _ESCAPES.sub("", text)) + mark
