"""A raw socket: what is sent are bytes, what comes back is read as far as one answer goes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

PATIENCE_S: Final = 0.4
"""How long an answer is waited for before the server is told that nothing more will come."""
LIMIT_S: Final = 20.0
"""How long an answer may take in all."""
INTERIM: Final = re.compile(rb"(HTTP/1\.1 1\d\d [^\r]*\r\n([^\r]+\r\n)*\r\n)*")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status 0 is a connection that was closed, or said nothing in time."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_late: bool = False

    def code(self) -> str | None:
        """Return the error code of a refusal of ours, None for anything else."""
        kind = self.headers.get("content-type", "")
        if self.status < 400 or kind not in {"application/json", "application/problem+json"}:
            return None
        if not self.body and self.headers.get("content-length", "0") != "0":
            return None  # told to HEAD, which is given no body
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return "(not an envelope)"


def exchange(port: int, raw: bytes) -> Reply:
    """Send bytes; return the first final answer."""
    until = time.monotonic() + LIMIT_S
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        with contextlib.suppress(
            ConnectionError
        ):  # hung up on; there may be an answer all the same
            connection.sendall(raw)
        return _read(connection, is_head=raw[:5].upper() == b"HEAD ", until=until)


def _read(connection: socket.socket, *, is_head: bool, until: float) -> Reply:
    received, is_shut = b"", False
    while (left_s := until - time.monotonic()) > 0:
        # A server that says 100 goes on waiting for the body.
        has_begun = INTERIM.fullmatch(received) is None
        connection.settimeout(left_s if is_shut or has_begun else min(PATIENCE_S, left_s))
        try:
            chunk = connection.recv(65536)
        except TimeoutError:
            if not is_shut and not has_begun:
                is_shut = True
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            continue
        except ConnectionError:
            chunk = b""
        received += chunk
        reply = _parse(received, is_head=is_head, is_over=not chunk)
        if reply is not None:
            return reply
    return Reply(0, {}, received, is_late=True)


def _parse(received: bytes, *, is_head: bool, is_over: bool) -> Reply | None:
    """Return the answer once it is whole, passing over 1xx; None while it is not."""
    top, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return Reply(0, {}, received) if is_over else None
    lines = top.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    if 100 <= status < 200:
        return _parse(rest, is_head=is_head, is_over=is_over)
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    length = headers.get("content-length")
    is_whole = is_head or is_over or status in {204, 304}
    is_whole |= headers.get("content-type", "").startswith("text/event-stream")
    is_whole |= length is not None and len(rest) >= int(length)
    is_whole |= rest.endswith(b"0\r\n\r\n")
    # What follows is the answer to another request; to HEAD at once, whatever the length says.
    body = b"" if is_head else rest[: int(length)] if length else rest
    return Reply(status, headers, body) if is_whole else None


def describe(raw: bytes) -> str:
    """Return bytes for a person."""
    return repr(raw[:700]) + (f" ... ({len(raw)} bytes)" if len(raw) > 700 else "")


def as_json(value: Any) -> bytes:
    """Return JSON that may hold lone surrogates, escaped."""
    return json.dumps(value).encode()
