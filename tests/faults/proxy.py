"""A TCP proxy on loopback that can break a connection in the middle of a reply."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Proxy:
    """Passes bytes between its own port and another on this machine."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._cut_after: int | None = None
        self._lose_commit_of: bytes | None = None
        self.cuts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self, after: int) -> None:
        """Break the connection of the next reply once so many of its bytes have gone through."""
        self._cut_after = after

    def lose_commit(self, of: bytes) -> None:
        """Break the connection that says `of` instead of passing on the reply to its COMMIT."""
        self._lose_commit_of = of

    def close(self) -> None:
        """Break everything."""

        def end() -> None:
            self._server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.call_later(0.05, self._loop.stop)

        self._loop.call_soon_threadsafe(end)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, to_there = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        ends, said = (writer, to_there), asyncio.Event()
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(
                    self._pump(reader, to_there, said), self._replies(there, writer, said)
                )
        finally:
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, said: asyncio.Event
    ) -> None:
        while data := await source.read(65_536):
            if self._lose_commit_of is not None and self._lose_commit_of in data:
                said.set()
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError

    async def _replies(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, said: asyncio.Event
    ) -> None:
        while data := await source.read(65_536):
            if said.is_set() and b"COMMIT\0" in data:
                self._lose_commit_of = None
                self.cuts += 1
                raise ConnectionResetError
            after, self._cut_after = self._cut_after, None
            if after is not None:
                self.cuts += 1
                sink.write(data[:after])
                await sink.drain()
                raise ConnectionResetError
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError
