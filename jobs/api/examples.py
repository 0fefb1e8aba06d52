"""What the documentation shows of jobs and queues."""

from __future__ import annotations

import json
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_ID: Final = "job_0193a1b2c3d474e5a60718293a4b5c6d"
_TRACE: Final = {
    "requestId": "req_0193a1b2c3d471e5860718293a4b5c6d",
    "correlationId": "nextjs_1735689600000_a1b2c3d4",
}


def _job(state: str, **more: Any) -> dict[str, Any]:
    """A job in a list, made at ten."""
    return {
        "id": _ID,
        "kind": "jobs.probe",
        "queue": "flagship:maintenance",
        "state": state,
        "attempts": 0,
        "failures": 0,
        "maxAttempts": 1,
        "dedupeKey": "drill-2026-01-15",
        **_TRACE,
        "nextAttemptAt": None,
        "cancelRequestedAt": None,
        "createdAt": "2026-01-15T10:00:00.000000Z",
        "startedAt": None,
        "finishedAt": None,
        **more,
    }


def _run(number: int, outcome: str, **more: Any) -> dict[str, Any]:
    """A run of two seconds that began right away."""
    return {
        "number": number,
        "outcome": outcome,
        "worker": "worker-1",
        "startedAt": "2026-01-15T10:00:00.012000Z",
        "endedAt": "2026-01-15T10:00:02.013000Z",
        "durationMs": 2001,
        "retryAt": None,
        "errorClass": "",
        "message": "",
        **more,
    }


_WHOLE: Final[dict[str, Any]] = {
    "payload": {"action": "succeed", "sleep_s": 2.0, "steps": 4, "fail_times": 1, "note": "drill"},
    "progress": None,
    "result": None,
    "runs": [],
}
_STARTED: Final = {"attempts": 1, "startedAt": "2026-01-15T10:00:00.012000Z"}

CREATE: Final = OpenApiExample(
    "A drill",
    value={"kind": "jobs.probe", "payload": {"sleep_s": 2.0, "steps": 4, "note": "drill"}},
    request_only=True,
)
CREATE_ONCE: Final = OpenApiExample(
    "Once a day",
    value={
        "kind": "jobs.probe",
        "payload": {"note": "drill"},
        "dedupeKey": "drill-2026-01-15",
    },
    request_only=True,
)
ACCEPTED: Final = OpenApiExample(
    "Accepted",
    value=_job("queued", nextAttemptAt="2026-01-15T10:00:00.000000Z") | _WHOLE,
    response_only=True,
    status_codes=["202"],
)
SUCCEEDED: Final = OpenApiExample(
    "Succeeded",
    value=_job("succeeded", **_STARTED, finishedAt="2026-01-15T10:00:02.013000Z")
    | _WHOLE
    | {
        "progress": {"step": 4, "steps": 4},
        "result": {"attempt": 1, "note": "drill"},
        "runs": [_run(1, "succeeded")],
    },
    response_only=True,
    status_codes=["200"],
)
RETRYING: Final = OpenApiExample(
    "Waits for its next try",
    value=_job(
        "retry_wait",
        **_STARTED,
        failures=1,
        maxAttempts=4,
        nextAttemptAt="2026-01-15T10:01:02.013000Z",
    )
    | _WHOLE
    | {
        "runs": [
            _run(
                1,
                "failed",
                retryAt="2026-01-15T10:01:02.013000Z",
                errorClass="RuntimeError",
                message="the probe fails",
            )
        ]
    },
    response_only=True,
    status_codes=["200"],
)
CANCELLED: Final = OpenApiExample(
    "Was waiting",
    value=_job("cancelled", finishedAt="2026-01-15T10:00:01.000000Z") | _WHOLE,
    response_only=True,
    status_codes=["200"],
)
STOPPING: Final = OpenApiExample(
    "Is running",
    value=_job("running", **_STARTED, cancelRequestedAt="2026-01-15T10:00:01.000000Z")
    | _WHOLE
    | {"runs": [_run(1, "running", endedAt=None, durationMs=None)]},
    response_only=True,
    status_codes=["202"],
)
PAGE: Final = OpenApiExample(
    "A page",
    value={"items": [_job("queued", nextAttemptAt="2026-01-15T10:00:00.000000Z")]}
    | {"nextCursor": _ID},
    response_only=True,
)
KINDS: Final = OpenApiExample(
    "Kinds",
    value={
        "items": [
            {
                "kind": "jobs.probe",
                "version": 1,
                "queue": "flagship:maintenance",
                "requiredScope": "jobs:probe",
                "timeoutS": 3600.0,
                "backoffS": [],
                "schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "$id": "urn:flagship:jobs.probe:v1",
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"note": {"type": "string", "maxLength": 200}},
                },
            }
        ]
    },
    response_only=True,
)
_QUEUE: Final[dict[str, Any]] = {
    "queue": "flagship:content",
    "purpose": "content pipeline",
    "waiting": 1240,
    "delayed": 3,
    "running": 12,
    "retrying": 2,
    "isExact": True,
    "oldestAgeMs": 84210,
    "isPaused": True,
    "pausedAt": "2026-01-15T09:58:00.000000Z",
    "resumeAt": None,
    "runs": 311,
    "waitP50Ms": 12,
    "waitP95Ms": 480,
    "runP50Ms": 2040,
    "runP95Ms": 9800,
}
QUEUES: Final = OpenApiExample(
    "Queues",
    value={"items": [_QUEUE], "countMax": 10000, "windowS": 900},
    response_only=True,
)
PAUSE: Final = OpenApiExample(
    "For ten minutes",
    value={"reason": "The model provider is down", "forS": 600},
    request_only=True,
)
PAUSED: Final = OpenApiExample(
    "Paused",
    value={
        "queue": "flagship:content",
        "isPaused": True,
        "pausedAt": "2026-01-15T09:58:00.000000Z",
        "pausedBy": "api_key:0a1b2c3d4e5f",
        "reason": "The model provider is down",
        "resumeAt": "2026-01-15T10:08:00.000000Z",
    },
    response_only=True,
)
TELEMETRY_EVENT: Final[dict[str, Any]] = {
    "sequence": 6,
    "name": "build.deployed",
    "at": "2026-01-15T10:00:02.013000Z",
    "isPlatform": False,
    "source": None,
    **_TRACE,
    "data": {"buildId": "build_0193a1b2c3d474e5a60718293a4b5c6f", "chargedCredits": 3},
}
TELEMETRY: Final = {
    "items": [TELEMETRY_EVENT],
    "nextCursor": None,
    "lastSequence": 6,
    "streamUrl": "https://flagship.example/v1/telemetry/stream",
}
TELEMETRY_STREAM: Final = OpenApiExample(
    "One event",
    value=f"retry: 1000\n\nid: 6\ndata: {json.dumps(TELEMETRY_EVENT)}\n\n",
    response_only=True,
)
WORKER_HEALTH: Final = {
    "ok": True,
    "lastHeartbeatAt": "2026-01-15T10:00:00.000000Z",
    "ageMs": 2013,
    "staleAfterMs": 120_000,
}
