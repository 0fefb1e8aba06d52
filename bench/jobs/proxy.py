"""A proxy that counts round trips: what a client sends after it has heard an answer is one more.

It stands between workers and a server, so that it counts for everybody alike, and it needs to
know nothing about who is counted. Handshakes of new connections are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Final, Literal

Protocol = Literal["postgres", "redis"]

HANDSHAKES: Final = (b"AUTH", b"HELLO", b"SETINFO", b"SETNAME")
QUERIES: Final = b"QPBC"
"""First bytes of PostgreSQL's messages that are no handshake: query, parse, bind, close."""


BOUNDS: Final = (b"BEGIN", b"COMMIT", b"ROLLBACK", b"SAVEPOINT", b"RELEASE", b"SET ")


@dataclass(slots=True)
class Counts:
    """What went through. `statements` are PostgreSQL's executed statements.

    `bounds` are those of them that only begin or end a transaction or a savepoint.
    """

    trips: int = 0
    statements: int = 0
    connections: int = 0
    bounds: int = 0

    def since(self, before: Counts) -> Counts:
        """Return what was added."""
        return Counts(
            self.trips - before.trips,
            self.statements - before.statements,
            self.connections - before.connections,
            self.bounds - before.bounds,
        )


@dataclass(slots=True)
class _Side:
    """One connection's state: whether the server spoke last, and a PostgreSQL message cut short."""

    heard: bool = True
    rest: bytes = b""
    begun: bool = False


@dataclass(slots=True)
class CountingProxy:
    """Listens on a free loopback port while the block runs; `port` is where.

    Not exact for a client that sends on while an answer is still coming (pipelines of several
    kilobytes): such a pipeline counts once or twice.
    """

    target: int
    protocol: Protocol
    port: int = 0
    counts: Counts = field(default_factory=Counts)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

    def __enter__(self) -> CountingProxy:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join(10)

    def now(self) -> Counts:
        """Return the counts up to now."""
        return self.counts.since(Counts())

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # Whoever still talks when the block ends is cut off, and need not say so.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
            side = _Side()
            self.counts.connections += 1
            await asyncio.gather(
                self._pump(client, to_server, side, from_client=True),
                self._pump(server, to_client, side, from_client=False),
                return_exceptions=True,
            )

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        side: _Side,
        *,
        from_client: bool,
    ) -> None:
        try:
            while data := await source.read(65536):
                if from_client:
                    self._count(side, data)
                side.heard = not from_client
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()

    def _count(self, side: _Side, data: bytes) -> None:
        if self.protocol == "redis":
            handshake = any(word in data[:200] for word in HANDSHAKES)
            self.counts.trips += side.heard and not handshake
            return
        side.begun = side.begun or data[0] in QUERIES
        if side.begun:
            self.counts.trips += side.heard
            side.rest = self._statements(side.rest + data)

    def _statements(self, data: bytes) -> bytes:
        """Count executed statements; return the message that has not come whole."""
        at = 0
        while len(data) - at >= 5:
            length = 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            self.counts.statements += data[at] in b"QE"
            if len(data) - at < length:
                self.counts.statements -= data[at] in b"QE"
                break
            self.counts.bounds += data[at] in b"Q" and _is_bounds(data[at + 5 : at + length - 1])
            at += length
        return data[at:]


def _is_bounds(query: bytes) -> bool:
    """Tell whether a query does nothing but begin or end a transaction, and set it up."""
    return all(part.lstrip().upper().startswith(BOUNDS) for part in query.split(b";"))
