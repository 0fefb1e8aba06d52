"""Some requests to one host, over one address, within one bound of time."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import certifi
import httpcore
from django.conf import settings

from flagship.clients.outgoing.pinned import PinnedBackend
from flagship.clients.outgoing.resolve import resolve
from flagship.clients.outgoing.urls import Target
from flagship.errors import RemoteAnswerRefused, RemoteUnreachable

_SILENCE_S: Final = 15.0
_AGENT: Final = "flagship"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a conversation may take. Units: `total_s` for all of it, `connect_s` of it."""

    total_s: float = 15.0
    connect_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 that is being read; `chunks` ends it with RemoteAnswerRefused beyond its bound."""

    content_type: str
    chunks: Iterator[bytes]

    def read(self) -> bytes:
        """Return all of it."""
        return b"".join(self.chunks)


class Conversation:
    """Speaks to the host of a target and to nobody else.

    The name is resolved once, on entering, and every request goes to that address: a name that
    changes its mind in between changes nothing. Proxies and credentials of the environment are not
    used. Nothing but a 200 is an answer: a redirect is refused, not followed.

    Raises, on entering: AddressNotAllowed, RemoteUnreachable.
    """

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits

    def __enter__(self) -> Self:
        until = time.monotonic() + self._limits.total_s
        self.address = resolve(self._target.host, self._target.port, self._limits.total_s)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust(),
            network_backend=PinnedBackend(self.address, until),
            max_connections=1,
            http2=False,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.close()

    @contextmanager
    def ask(
        self,
        method: str,
        path: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Iterator[Answer]:
        """Send a request and lend its answer; `path` follows the origin and may have a query.

        Raises, also while it is read: RemoteUnreachable, RemoteAnswerRefused.
        """
        told = {"Host": self._host, "User-Agent": _AGENT, "Accept-Encoding": "identity"}
        told |= {**(headers or {}), "Content-Length": str(len(body))}
        # Each step's own patience; the backend bounds their sum.
        patience = {"connect": self._limits.connect_s, "read": _SILENCE_S, "write": _SILENCE_S}
        try:
            with self._pool.stream(
                method,
                f"{self._target.origin}{path}",
                headers=list(told.items()),
                content=body,
                extensions={"timeout": patience},
            ) as response:
                found = {name.lower(): value for name, value in response.headers}
                self._judge(response.status, found)
                kind = found.get(b"content-type", b"").decode("latin-1")
                yield Answer(kind, self._bounded(response, max_bytes))
        except (httpcore.RemoteProtocolError, httpcore.LocalProtocolError) as error:
            raise self._refuse("it is not HTTP") from error
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            host = self._target.host
            told_why = f"{host} cannot be reached: {str(error)[:200] or type(error).__name__}."
            raise RemoteUnreachable(told_why, data={"host": host}) from error

    @property
    def _host(self) -> str:
        return self._target.origin.removeprefix("https://")

    def _judge(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        if status == 429 or status >= 500:
            host = self._target.host
            raise RemoteUnreachable(
                f"{host} answers {status}.", data={"host": host, "status": status}
            )
        if 300 <= status < 400:
            raise self._refuse("it is a redirect, which is not followed", status)
        if status != 200:
            raise self._refuse(f"it is a {status}", status)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise self._refuse("it is compressed, which was not asked for", status)

    def _bounded(self, response: httpcore.Response, max_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_stream():
            size += len(chunk)
            if size > max_bytes:
                raise self._refuse(f"it has more than {max_bytes} bytes")
            yield chunk

    def _refuse(self, reason: str, status: int = 200) -> RemoteAnswerRefused:
        host = self._target.host
        return RemoteAnswerRefused(
            f"The answer of {host} is not taken: {reason}.", data={"host": host, "status": status}
        )


def _trust() -> ssl.SSLContext:
    """Return what is believed: the usual authorities, or those of OUTGOING_CA_FILE alone."""
    context = ssl.create_default_context(cafile=settings.OUTGOING_CA_FILE or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
