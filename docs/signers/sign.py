"""Signs a request to FlagShip. Prints its headers:

SIGNING_KEY_ID=sig_... SIGNING_SECRET=... python sign.py POST URL [BODY_FILE [TYPE [IDEM_KEY]]]
"""

import hashlib
import hmac
import os
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


def headers(key_id, secret, method, url, body=b"", content_type="", idempotency_key="", **fixed):
    """Return the headers to add. `secret` is in hexadecimal; `fixed` is for test vectors."""
    target = urlsplit(url)
    timestamp = fixed.get("timestamp") or str(int(time.time()))
    nonce = fixed.get("nonce") or secrets.token_urlsafe(24)
    digest = hashlib.sha256(body).hexdigest()
    canonical = "\n".join(
        [
            *("BUILD-HMAC-SHA256-V2", key_id, timestamp, nonce),
            *(method.upper(), target.netloc.lower(), target.path or "/"),
            "&".join(sorted(target.query.split("&"))),
            *(content_type.lower(), idempotency_key, digest),
        ]
    )
    extracted = hmac.digest(bytes(32), bytes.fromhex(secret), "sha256")
    key = hmac.digest(extracted, f"v2{key_id}".encode() + b"\x01", "sha256")
    return {
        "X-Key-Id": key_id,
        "X-Timestamp": timestamp,
        "X-Nonce": nonce,
        "X-Content-SHA256": digest,
        "X-Signature": "v2=" + hmac.digest(key, canonical.encode(), "sha256").hex(),
    }


if __name__ == "__main__":
    method, url, body_file, content_type, idempotency_key = (sys.argv[1:] + [""] * 3)[:5]
    body = Path(body_file).read_bytes() if body_file else b""
    env = os.environ
    fixed = {"timestamp": env.get("SIGNING_TIMESTAMP"), "nonce": env.get("SIGNING_NONCE")}
    who = (env["SIGNING_KEY_ID"], env["SIGNING_SECRET"])
    for name, value in headers(
        *who, method, url, body, content_type, idempotency_key, **fixed
    ).items():
        print(f"{name}: {value}")
