"""Two API processes over one database, and clients that all start at once."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from flagship.management.embedded.home import free_port
from tests.processes import Processes, Running, wait_until


@dataclass(slots=True)
class Apis:
    """Real API processes; requests are spread over them."""

    processes: Processes
    secret: str
    ports: list[int] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)

    def start(self, count: int = 2, **env: str) -> None:
        """Start processes and wait until each answers."""
        for _ in range(count):
            port = free_port()
            command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1"]
            command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
            command += ["--blocking-threads", "8", "config.wsgi:application"]
            self.running.append(self.processes.spawn(command, env=env))
            self.ports.append(port)
        for port, api in zip(self.ports[-count:], self.running[-count:], strict=True):
            wait_until(lambda port=port: answers(port), 60, api.output)  # type: ignore[misc]

    def send(
        self, number: int, path: str, body: Any, key: str, *, method: str = "POST"
    ) -> httpx.Response:
        """Send one request through the process that this number falls to."""
        port = self.ports[number % len(self.ports)]
        with httpx.Client(timeout=30, verify=False) as client:
            return client.request(
                method,
                f"http://127.0.0.1:{port}{path}",
                content=body if isinstance(body, bytes) else json.dumps(body),
                headers={
                    "Authorization": f"Bearer {self.secret}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": key,
                },
            )

    def send_until_answered(self, number: int, path: str, body: Any, key: str) -> httpx.Response:
        """Send, and send again for as long as the twin is still at work, as a client would."""
        for _ in range(40):
            response = self.send(number, path, body, key)
            if response.status_code != 409 or "Retry-After" not in response.headers:
                break
        return response

    @contextmanager
    def send_unread(self, number: int, path: str, body: Any, key: str) -> Iterator[None]:
        """Send a whole request, and hang up at the end of the block without reading the answer."""
        raw = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
            f"Idempotency-Key: {key}\r\n\r\n"
        )
        port = self.ports[number % len(self.ports)]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head.encode() + raw)
            yield


def answers(port: int) -> bool:
    """Tell whether the process on this port answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def all_at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Run `call(number)` in as many threads, held at a barrier until all are there."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(30)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
