"""What the documentation shows of the edge's own answers."""

from __future__ import annotations

from typing import Any, Final

CATALOGUE_ENTRY: Final[dict[str, Any]] = {
    "code": "PAYLOAD_TOO_LARGE",
    "status": 413,
    "title": "The body is larger than this route takes.",
    "nextStep": "Send at most `data.limitBytes` bytes.",
    "exampleData": {"limitBytes": 1048576},
}
CATALOGUE: Final = {"items": [CATALOGUE_ENTRY]}
AUDIT_EVENT: Final[dict[str, Any]] = {
    "id": "evt_0193a1b2c3d474e5a60718293a4b5c6d",
    "action": "build.created",
    "subjectType": "build",
    "subjectId": "build_0193a1b2c3d474e5a60718293a4b5c6f",
    "actor": "api_key:0a1b2c3d4e5f",
    "data": {"estimatedCredits": 4},
    "requestId": "req_0193a1b2c3d474e5a60718293a4b5c6e",
    "correlationId": "nextjs_1735689600000_a1b2c3d4",
    "occurredAt": "2026-01-15T10:01:30.000000Z",
}
KEY: Final[dict[str, Any]] = {
    "key": "docs-2026-01-15-0001",
    "uses": [
        {
            "method": "POST",
            "path": "/v1/builds/{build_id}/cancel",
            "state": "answered",
            "requestId": "req_0193a1b2c3d474e5a60718293a4b5c6e",
            "answeredAt": "2026-01-15T10:02:00.000000Z",
            "ageSeconds": 90,
            "expiresAt": "2026-01-16T10:02:00.000000Z",
            "status": 200,
            "location": None,
            "answer": {"id": "build_0193a1b2c3d474e5a60718293a4b5c6f", "state": "cancelled"},
        }
    ],
    "effects": [
        {
            "subjectType": "build",
            "subjectId": "build_0193a1b2c3d474e5a60718293a4b5c6f",
            "createdAt": "2026-01-15T10:01:30.000000Z",
        }
    ],
}
