"""`manage.py sign_request METHOD URL`: the reference signer (docs/signatures.md).

Prints headers, for `curl -H @-`. The secret comes from the environment: others see command lines.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flagship.signatures import Malformed, Presented, canonical_string, sign


class Command(BaseCommand):
    """Sign a request."""

    help = "Sign as SIGNING_KEY_ID with SIGNING_SECRET; --body names a file."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the request."""
        for name in ("method", "url"):
            parser.add_argument(name)
        for name in ("--body", "--content-type", "--idempotency-key"):
            parser.add_argument(name, default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the headers."""
        url, environ = urlsplit(options["url"]), os.environ
        body = Path(options["body"]).read_bytes() if options["body"] else b""
        parts = {
            "key_id": environ.get("SIGNING_KEY_ID", ""),
            "timestamp": environ.get("SIGNING_TIMESTAMP") or str(int(time.time())),
            "nonce": environ.get("SIGNING_NONCE") or secrets.token_urlsafe(24),
            "content_sha256": hashlib.sha256(body).hexdigest(),
        }
        request = Presented(
            method=options["method"],
            host=url.netloc,
            path=url.path or "/",
            query=url.query,
            content_type=options["content_type"],
            **{"idempotency_key": options["idempotency_key"], **parts},
        )
        try:
            secret = bytes.fromhex(environ["SIGNING_SECRET"])
            canonical = canonical_string(request)
        except (KeyError, ValueError, Malformed) as error:
            raise CommandError(f"cannot sign: {type(error).__name__} {error}") from None
        mac = sign(canonical, secret=secret, version="v2", key_id=parts["key_id"]).hex()
        names = ("X-Key-Id", "X-Timestamp", "X-Nonce", "X-Content-SHA256", "X-Signature")
        for name, value in zip(names, [*parts.values(), f"v2={mac}"], strict=True):
            self.stdout.write(f"{name}: {value}")
