"""What is sent, and how its time is taken."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

TIMEOUT_S: Final = 30.0
KEYED: Final = ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and the statuses that are right for it.

    `undo` makes of the answer's body a request that lets it be asked again; its time is nobody's.
    """

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    right: tuple[int, ...] = (200,)
    undo: Callable[[bytes], Ask] | None = None


class WrongAnswer(RuntimeError):
    """A request was not answered as it has to be: nothing is measured then."""


@dataclass(slots=True)
class Caller:
    """One client with a kept connection and an API key."""

    port: int
    secret: str
    _connection: http.client.HTTPConnection | None = field(default=None)

    def ask(self, ask: Ask) -> float:
        """Send a request and read its answer; return the milliseconds that took.

        Raises: WrongAnswer.
        """
        took_ms, body = self._exchange(ask)
        if ask.undo is not None:
            self._exchange(ask.undo(body))
        return took_ms

    def first_byte(self, ask: Ask) -> float:
        """Open a stream; return the milliseconds to its first byte. Raises: WrongAnswer."""
        self.close()
        started = time.perf_counter()
        response = self._send(ask)
        first = response.read(1)
        took_ms = (time.perf_counter() - started) * 1000
        if not first:
            raise WrongAnswer(f"{ask.method} {ask.path}: an empty stream")
        response.close()
        self.close()
        return took_ms

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, ask: Ask) -> tuple[float, bytes]:
        started = time.perf_counter()
        body = self._send(ask).read()
        return (time.perf_counter() - started) * 1000, body

    def _send(self, ask: Ask) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.secret}"}
        if ask.body:
            headers["Content-Type"] = ask.content_type
        if ask.method in KEYED:
            headers["Idempotency-Key"] = f"bench-{uuid.uuid4().hex}"
        self._connection.request(ask.method, ask.path, ask.body or None, headers)
        response = self._connection.getresponse()
        if response.status not in ask.right:
            text = response.read()[:500]
            raise WrongAnswer(f"{ask.method} {ask.path}: {response.status} {text!r}")
        return response
