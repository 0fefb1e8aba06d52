"""Clients that sign, with the signer that the documentation hands out."""

from __future__ import annotations

import importlib.util
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flagship.models import SignatureRollout
from flagship.models.signature import KEY_PREFIX
from flagship.services.signing_keys import issue_signing_key
from flagship.signatures import Presented, Stage, canonical_string, sign
from jobs.ids import public_id

ROOT = Path(__file__).resolve().parents[1]
SIGNER = ROOT / "docs" / "signers" / "sign.py"


def documented_signer() -> Any:
    """Load docs/signers/sign.py."""
    spec = importlib.util.spec_from_file_location("documented_signer", SIGNER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_sign_v2 = documented_signer().headers


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing key in the hands of its client."""

    key_id: str
    secret: str

    def headers(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        key: str = "",
        at: int | None = None,
        nonce: str = "",
    ) -> dict[str, str]:
        """Return the headers of a v2 request; `at` is its stamp in Unix seconds."""
        signed: dict[str, str] = _sign_v2(
            *(self.key_id, self.secret, method, url, body, content_type, key),
            timestamp=str(at or int(time.time())),
            nonce=nonce,
        )
        return signed

    def v1(self, headers: dict[str, str]) -> str:
        """Return the v1 signature that belongs to these headers."""
        presented = Presented(
            method="GET",
            host="x",
            path="/",
            key_id=headers["X-Key-Id"],
            timestamp=headers["X-Timestamp"],
            nonce=headers["X-Nonce"],
            content_sha256=headers["X-Content-SHA256"],
        )
        secret = bytes.fromhex(self.secret)
        canonical = canonical_string(presented, version="v1")
        return "v1=" + sign(canonical, secret=secret, version="v1", key_id=self.key_id).hex()


def make_signer(api_key: Any, *, stage: Stage = Stage.V2_ONLY, overlap_days: int = 0) -> Signer:
    """Issue a signing key to a client and put it at a stage."""
    key, secret = issue_signing_key(
        api_key_id=api_key.id,
        overlap=timedelta(days=overlap_days),
        actor="test",
        now=datetime.now(UTC),
    )
    SignatureRollout.objects.filter(api_key_id=api_key.id).update(stage=stage)
    return Signer(public_id(KEY_PREFIX, key.id), secret)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request, signed and ready to be sent any number of times."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


def prepare(
    signer: Signer,
    method: str,
    path: str,
    body: Any = None,
    *,
    host: str = "testserver",
    key: str = "",
    **options: Any,
) -> Signed:
    """Sign a JSON request."""
    raw = b"" if body is None else json.dumps(body).encode()
    content_type = "application/json" if raw else ""
    url = f"http://{host}{path}"
    signed = signer.headers(method, url, raw, content_type=content_type, key=key, **options)
    plain = {"Host": host, "Content-Type": content_type, "Idempotency-Key": key}
    headers = signed | {name: value for name, value in plain.items() if value}
    return Signed(method, path, raw, headers)
