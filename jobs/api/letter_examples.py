"""What the documentation shows of dead letters."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_LETTER: Final[dict[str, Any]] = {
    "id": "dead_0000000000000000000000000000126f",
    "jobId": "job_0193a1b2c3d474e5a60718293a4b5c6d",
    "kind": "jobs.probe",
    "queue": "flagship:maintenance",
    "state": "open",
    "errorClass": "RuntimeError",
    "message": "the disk is full",
    "fingerprint": "v2-0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
    "attempts": 1,
    "requestId": "req_0193a1b2c3d471e5860718293a4b5c6d",
    "correlationId": "nextjs_1735689600000_a1b2c3d4",
    "diedAt": "2026-01-15T10:00:02.013000Z",
    "resolvedAt": None,
    "resolvedBy": "",
    "reason": "",
}
_RESOLVED: Final = {
    "resolvedAt": "2026-01-15T10:05:00.000000Z",
    "resolvedBy": "api_key:0a1b2c3d4e5f",
}

PAGE: Final = OpenApiExample(
    "A page",
    value={"items": [_LETTER], "nextCursor": "1768471202013000-4719"},
    response_only=True,
)
SUMMARY: Final = OpenApiExample(
    "One cause",
    value={
        "open": 468,
        "isExact": True,
        "queues": [
            {
                "queue": _LETTER["queue"],
                "open": 468,
                "oldestAt": "2026-01-14T22:10:41.000000Z",
            }
        ],
        "groups": [
            {
                "fingerprint": _LETTER["fingerprint"],
                "kind": _LETTER["kind"],
                "errorClass": _LETTER["errorClass"],
                "open": 468,
                "firstSeenAt": "2026-01-14T22:10:41.000000Z",
                "lastSeenAt": _LETTER["diedAt"],
            }
        ],
    },
    response_only=True,
)
REQUEUED: Final = OpenApiExample(
    "Requeued", value=_LETTER | _RESOLVED | {"state": "requeued"}, response_only=True
)
DISCARD: Final = OpenApiExample(
    "A reason", value={"reason": "left over from a drill"}, request_only=True
)
DISCARDED: Final = OpenApiExample(
    "Discarded",
    value=_LETTER | _RESOLVED | {"state": "discarded", "reason": "left over from a drill"},
    response_only=True,
)
CLEANUP: Final = OpenApiExample(
    "Look first",
    value={"olderThanDays": 30, "reason": "nobody waits for them", "dryRun": True},
    request_only=True,
)
CLEANED: Final = OpenApiExample(
    "A dry run", value={"discarded": 200, "isMore": True, "dryRun": True}, response_only=True
)
