"""The four processes of a system."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from flagship.management.supervisor import ready
from flagship.management.supervisor.child import Part

API_PORT = 8000
STREAMS_PORT = 8001


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running system listens (`api_port`, `streams_port`) and is reached (the URLs)."""

    api_port: int
    streams_port: int
    public_url: str
    streams_url: str

    @property
    def api_url(self) -> str:
        """The API itself, whatever stands before it."""
        return f"http://127.0.0.1:{self.api_port}"


def manage(root: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a management command."""
    return (sys.executable, str(root / "manage.py"), *arguments)


def parts(root: Path, addresses: Addresses, *, redis_url: str, worker_drain_s: float) -> list[Part]:
    """Return what runs in a system. Doors close first, then work drains, then the clock stops."""
    return [
        Part(
            "api",
            _granian("wsgi", "config.wsgi:application", addresses.api_port, workers=2, threads=4),
            stop_rank=0,
            drain_s=15.0,
            is_up=ready.answers(addresses.api_port, "/readyz"),
        ),
        Part(
            "streams",
            _granian("asginl", "config.asgi:application", addresses.streams_port, workers=1),
            stop_rank=0,
            drain_s=15.0,
            is_up=ready.answers(addresses.streams_port, "/healthz"),
        ),
        Part(
            "worker",
            manage(root, "rqworker"),
            stop_rank=1,
            drain_s=worker_drain_s + 10.0,
            is_up=ready.registered(redis_url),
        ),
        Part("scheduler", manage(root, "rqscheduler"), stop_rank=2, is_up=ready.alive_for(2.0)),
    ]


def _granian(
    interface: str, application: str, port: int, *, workers: int, threads: int = 0
) -> tuple[str, ...]:
    command = [sys.executable, "-m", "granian", "--interface", interface, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(workers), "--no-ws", "--http", "1"]
    command += ["--respawn-failed-workers", "--respawn-interval", "0.5"]
    # An open event stream never ends by itself, and must not hold up the stop.
    command += ["--workers-kill-timeout", "8", "--log-level", "warning"]
    if threads:
        command += ["--blocking-threads", str(threads)]
    return (*command, application)
