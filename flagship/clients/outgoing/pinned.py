"""A connection to one address, for so long and so many bytes."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the one address that was checked, whatever name is asked for.

    `until` (monotonic) bounds all of it: connecting, the handshake, every read and write. What a
    peer sends byte by byte is no way around it.
    """

    def __init__(self, address: str, until: float) -> None:
        self._address = address
        self._until = until
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the address; `host` is for TLS and the Host header."""
        left = _left(self._until, timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(self._address, port, left, local_address, socket_options)
        return _BoundedStream(stream, self._until)


class _BoundedStream(httpcore.NetworkStream):
    """A stream whose every step ends at the same moment."""

    def __init__(self, inner: httpcore.NetworkStream, until: float) -> None:
        self._inner = inner
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._until, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._until, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._until, timeout, httpcore.ConnectTimeout)
        return _BoundedStream(
            self._inner.start_tls(ssl_context, server_hostname, left), self._until
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(until: float, timeout: float | None, late: type[Exception]) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise late("out of time")
    return left if timeout is None else min(left, timeout)
