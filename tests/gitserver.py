"""An https server of this machine with git repositories on it, and ways for it to misbehave."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HOST = "git.example.org"
PLAIN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
PERSON = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {
        "NAME": "Ann",
        "EMAIL": "ann@example.org",
        "DATE": "2026-01-01T00:00:00Z",
    }.items()
}


@dataclass
class GitServer:
    """Serves every repository below `root` at https://git.example.org:<port>/<name>."""

    root: Path
    certificate: Path
    port: int = 0
    # What is asked, in its order; and who answers instead of git, if anybody.
    asked: list[str] = field(default_factory=list)
    instead: Callable[[Any], None] | None = None

    def url(self, name: str = "site.git") -> str:
        return f"https://{HOST}:{self.port}/{name}"

    def git(self, *words: str, name: str = "site.git", stdin: bytes | None = None) -> str:
        """Run git in a repository of the server, made if it is not there; return what it says."""
        path = self.root / name
        environment = {"PATH": os.environ["PATH"], **PLAIN, **PERSON}
        environment["GIT_INDEX_FILE"] = str(self.root / "index")
        if not path.exists():
            command = ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)]
            subprocess.run(command, check=True, env=environment)
        done = subprocess.run(
            ["git", *words], cwd=path, env=environment, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(
        self, files: dict[str, bytes | tuple[str, str]], *, ref: str = "refs/heads/main"
    ) -> str:
        """Commit these files alone; a pair is a mode and the object's name or its text."""
        lines = []
        for path, content in files.items():
            mode, name = ("100644", "") if isinstance(content, bytes) else content
            data = content if isinstance(content, bytes) else name.encode()
            if mode != "160000":
                name = self.git("hash-object", "-w", "--stdin", stdin=data)
            lines.append(f"{mode} {name}\t{path}")
        return self._commit(lines, ref)

    def _commit(self, lines: list[str], ref: str) -> str:
        index = self.root / "index"
        index.unlink(missing_ok=True)
        listed = "".join(f"{line}\n" for line in lines).encode()
        self.git("update-index", "--index-info", stdin=listed)
        commit = self.git("commit-tree", self.git("write-tree"), "-m", "All of it")
        self.git("update-ref", ref, commit)
        return commit


def serve(directory: Path) -> Iterator[GitServer]:
    """Run a server inside the block."""
    root, certificate = directory / "repositories", directory / "certificate.pem"
    root.mkdir()
    key = directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={HOST}"]
    command += ["-addext", f"subjectAltName=DNS:{HOST}"]
    subprocess.run(command, check=True, capture_output=True)
    found = GitServer(root, certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"git": found}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    """Hands a request to git's own server program."""

    git: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.git.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        if self.git.instead is not None:
            self.git.instead(self)
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.body,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                **PLAIN,
                "GIT_PROJECT_ROOT": str(self.git.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.reply(int(fields.pop("Status", "200 OK").split()[0]), body, **fields)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class Names:
    """What names lead to, in place of the world's; every question is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._ask)

    def set(self, host: str, *answers: list[str]) -> None:
        """Answer so, one after another; the last one stays."""
        self.answers[host] = list(answers)

    def _ask(self, host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if host not in self.answers:
            return self._real(host, port, *rest, **options)
        self.asked.append(host)
        left = self.answers[host]
        found = left.pop(0) if len(left) > 1 else left[0]
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in text], socket.SOCK_STREAM, 6, "", (text, port)) for text in found]


@contextmanager
def visitors() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine that nobody should come to; notes who did."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    connection, address = server.accept()
                    connection.close()
                    came.append(str(address))
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
