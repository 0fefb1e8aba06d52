"""A stranger's service on loopback: does a thing once per idempotency key, and remembers."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Provider:
    """Answers 201 to every POST. `effects` counts requests by path and idempotency key."""

    def __init__(self) -> None:
        self.effects: defaultdict[str, Counter[str]] = defaultdict(Counter)
        effects = self.effects

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                effects[self.path.strip("/")][self.headers["Idempotency-Key"]] += 1
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
