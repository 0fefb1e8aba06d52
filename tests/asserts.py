"""Assertions that count exactly."""

from __future__ import annotations

from typing import Any

from tests.processes import wait_until

__all__ = ["assert_refused", "wait_until"]


def assert_refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check a refusal's status, code and envelope (E-02); return its body."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body.get("error")) == (status, code), body
    keys = {"error", "message", "data", "requestId", "correlationId", "timestamp"}
    assert set(body) == keys
    assert body["requestId"] == response.headers["x-request-id"]
    return body
