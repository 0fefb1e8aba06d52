"""What the documentation shows of projects, sources and builds."""

from __future__ import annotations

import json
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_PROJECT_ID: Final = "proj_0193a1b2c3d474e5a60718293a4b5c6d"
_SOURCE_ID: Final = "src_0193a1b2c3d474e5a60718293a4b5c6e"
_BUILD_ID: Final = "build_0193a1b2c3d474e5a60718293a4b5c6f"
_JOB_ID: Final = "job_0193a1b2c3d474e5a60718293a4b5c70"
_HOLD_ID: Final = "res_0193a1b2c3d474e5a60718293a4b5c71"
_SITE: Final = "https://flagship.example/sites/acme-docs"
_API: Final = "https://flagship.example/v1"

PROJECT_CREATION: Final[dict[str, Any]] = {
    "name": "Acme docs",
    "slug": "acme-docs",
    "defaultBuilder": "mkdocs",
}
PROJECT_FIELDS: Final[dict[str, Any]] = {
    "name": "Acme docs",
    "maxActive": 2,
    "newestWins": True,
    "defaultBuilder": "mkdocs",
}
PROJECT_PATCH: Final[dict[str, Any]] = {"newestWins": True}
PROJECT: Final[dict[str, Any]] = {
    "id": _PROJECT_ID,
    "name": "Acme docs",
    "slug": "acme-docs",
    "maxActive": 1,
    "newestWins": False,
    "defaultBuilder": "mkdocs",
    "liveBuildId": _BUILD_ID,
    "siteUrl": f"{_SITE}/",
    "createdAt": "2026-01-15T10:00:00.000000Z",
    "updatedAt": "2026-01-15T10:05:00.000000Z",
}
PROJECT_BATCH: Final = {
    "items": [PROJECT],
    "missing": ["proj_0193a1b2c3d474e5a60718293a4b5c99"],
}
SOURCE: Final[dict[str, Any]] = {
    "id": _SOURCE_ID,
    "projectId": _PROJECT_ID,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "kind": "tar.gz",
    "sizeBytes": 48213,
    "unpackedBytes": 190_464,
    "fileCount": 31,
    "createdAt": "2026-01-15T10:01:00.000000Z",
}
FETCH_ORDER: Final = {"url": "https://git.example/acme/docs.git", "ref": "main"}
FETCH: Final[dict[str, Any]] = {
    "id": "fetch_0193a1b2c3d474e5a60718293a4b5c72",
    "projectId": _PROJECT_ID,
    **FETCH_ORDER,
    "state": "ready",
    "sourceId": _SOURCE_ID,
    "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "leftOut": ["docs/latest"],
    "error": None,
    "createdAt": "2026-01-15T10:00:30.000000Z",
    "finishedAt": "2026-01-15T10:00:34.000000Z",
}
BUILD_ORDER: Final[dict[str, Any]] = {
    "projectId": _PROJECT_ID,
    "sourceId": _SOURCE_ID,
    "builder": "mkdocs",
}
BATCH_ORDER: Final = {"items": [{**BUILD_ORDER, "key": "docs-2026-01-15-0001"}]}
BUILD: Final[dict[str, Any]] = {
    "id": _BUILD_ID,
    "projectId": _PROJECT_ID,
    "sourceId": _SOURCE_ID,
    "state": "deployed",
    "previousState": "building",
    "isCancelRequested": False,
    "builder": "mkdocs",
    "options": {},
    "rebuildOf": None,
    "supersededBy": None,
    "jobId": _JOB_ID,
    "reservationId": _HOLD_ID,
    "estimatedCredits": 4,
    "chargedCredits": 3,
    "artifact": {
        "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        "sizeBytes": 731_904,
        "fileCount": 52,
    },
    "error": None,
    "queuedAt": "2026-01-15T10:01:30.000000Z",
    "startedAt": "2026-01-15T10:01:30.120000Z",
    "finishedAt": "2026-01-15T10:01:33.480000Z",
    "siteUrl": f"{_SITE}/",
    "versionUrl": f"{_SITE}/@{_BUILD_ID}/",
    "logUrl": f"{_API}/builds/{_BUILD_ID}/log",
    "streamUrl": f"{_API}/streams/builds/{_BUILD_ID}/log",
}
BATCH: Final = {
    "items": [
        {"index": 0, "key": "docs-2026-01-15-0001", "outcome": "existing", "build": BUILD},
    ],
    "createdCount": 0,
    "existingCount": 1,
    "estimatedCredits": 0,
}
_LINE: Final = {
    "seq": 1,
    "stream": "stdout",
    "text": "INFO - Building documentation to directory: /output",
    "at": "2026-01-15T10:01:31.000000Z",
}
LOG_STREAM: Final = OpenApiExample(
    "One line",
    value=f"retry: 1000\n\nid: 1\nevent: line\ndata: {json.dumps(_LINE)}\n\n",
    response_only=True,
)
LOG: Final = {
    "items": [_LINE],
    "lastSeq": 1,
    "isComplete": True,
    "state": "deployed",
}
_EVENT: Final[dict[str, Any]] = {
    "seq": 1,
    "name": "build.created",
    "state": "queued",
    "actor": "api_key:0a1b2c3d4e5f",
    "at": "2026-01-15T10:01:30.000000Z",
    "data": {"estimatedCredits": 4},
}
EVENTS: Final = {"items": [_EVENT], "lastSeq": 1, "hasMore": False, "state": "deployed"}
REPLAY_ORDER: Final = {"fromSeq": 1, "dryRun": True}
REPLAY: Final = {
    "buildId": _BUILD_ID,
    "state": "deployed",
    "isDryRun": True,
    "fromSeq": 1,
    "lastSeq": 1,
    "planDigest": "5c1d" * 16,
    "items": [
        {
            "event": _EVENT,
            "steps": [
                {
                    "effect": "hold_credits",
                    "outcome": "skipped",
                    "reason": "The credits were held when the build was created.",
                }
            ],
        }
    ],
    "doneCount": 0,
    "skippedCount": 1,
    "leftCount": 0,
    "chargedCredits": 0,
}
ESTIMATE_QUESTION: Final = BUILD_ORDER
ESTIMATE: Final = {
    "builder": "mkdocs",
    "lowCredits": 3,
    "likelyCredits": 4,
    "highCredits": 6,
    "basedOnBuilds": 20,
}
_PERIOD: Final[dict[str, Any]] = {
    "since": "2026-01-01",
    "until": "2026-01-15",
    "interval": "day",
    "rolledUpAt": "2026-01-15T10:00:00.000000Z",
}
_SUMS: Final[dict[str, Any]] = {
    "submitted": 12,
    "queued": 0,
    "building": 1,
    "deployed": 10,
    "failed": 1,
    "cancelled": 0,
    "successRate": 0.909,
    "chargedCredits": 38,
    "duration": {"meanS": 3.4, "p50S": 3.1, "p90S": 5.0, "p95S": 5.6, "p99S": 6.2},
}
BUILD_ANALYTICS: Final = {
    **_PERIOD,
    "totals": _SUMS,
    "byBuilder": [{**_SUMS, "builder": "mkdocs"}],
    "series": [{**_SUMS, "start": "2026-01-15"}],
}
_COMMIT: Final[dict[str, Any]] = {"operation": "commit", "entries": 10, "credits": 38}
USAGE_ANALYTICS: Final = {
    **_PERIOD,
    "segment": "light",
    "byOperation": [_COMMIT],
    "byUser": [{"user": "user_42", "charges": 10, "credits": 38}],
    "otherUsers": None,
    "series": [{"start": "2026-01-15", "credits": {"commit": 38}}],
}
SEGMENT_ANALYTICS: Final = {
    **_PERIOD,
    "bySegment": [{**_COMMIT, "segment": "light", "organizations": 3}],
    "series": [{"start": "2026-01-15", "credits": {"commit": 38}, "segment": "light"}],
}
