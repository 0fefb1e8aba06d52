"""The directory that holds everything an embedded system keeps: data, secrets, addresses."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


class HomeInUse(Exception):
    """Another running system holds this FLAGSHIP_HOME."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below FLAGSHIP_HOME. Files with secrets are readable by the owner only."""

    path: Path

    @property
    def servers_file(self) -> Path:
        """Addresses of the running embedded servers; config.settings reads it."""
        return self.path / "servers.json"

    @property
    def secrets_file(self) -> Path:
        """Generated passwords and the secret key; made once, kept."""
        return self.path / "secrets.json"

    def prepare(self) -> None:
        """Create the directory; it is traversable, the secret files in it are not readable."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)

    def lock(self) -> IO[str]:
        """Take the home for this process until the returned file is closed.

        The lock goes with the process that holds it, however that ends.
        Raises: HomeInUse when another process holds it.
        """
        self.prepare()
        handle = open(self.path / "lock", "a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            handle.close()
            raise HomeInUse(f"{self.path} is in use by process {holder}") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        return handle

    def secret(self, name: str) -> str:
        """Return the named secret, generating all of them at the first call."""
        known = read_json(self.secrets_file)
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            write_private_json(self.secrets_file, known)
        return str(known[name])


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing file is an empty one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content


def write_private_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one step, readable by its owner only."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as handle:
        json.dump(content, handle, indent=2)
    draft.replace(path)


def free_port(wanted: int = 0) -> int:
    """Return a free loopback port, `wanted` itself when nothing listens on it."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers bind: a port in TIME_WAIT counts as free, one that is listened on does not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free loopback port")
