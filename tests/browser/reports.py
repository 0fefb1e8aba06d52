"""Where the browser sends what the Content-Security-Policy refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reports:
    """`seen` holds one line for each report: the page, the rule, and what broke it."""

    url: str = ""
    seen: list[str] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Reports]:
    """Receive reports until the block ends."""
    reports = Reports()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            told: dict[str, Any] = json.loads(body)["csp-report"]
            rule, broke = told["effective-directive"], told["blocked-uri"]
            reports.seen.append(f"{told['document-uri']}: {rule}: {broke}")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    reports.url = f"http://127.0.0.1:{server.server_port}/csp"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield reports
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
