"""What the documentation shows of the account; the first three are the seed's own."""

from __future__ import annotations

import json
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_HOLD_ID: Final = "res_0193a1b2c3d474e5a60718293a4b5c71"
_BUILD_ID: Final = "build_0193a1b2c3d474e5a60718293a4b5c6f"

RESERVE: Final = {"buildId": _BUILD_ID, "estimatedCredits": 500, "userId": "user_42"}
RESERVED: Final = {
    "reservationId": _HOLD_ID,
    "reserved": 500,
    "expires": "2026-01-15T10:30:00.000000Z",
}
COMMIT: Final = {"reservationId": _HOLD_ID, "actualCredits": 450, "buildId": _BUILD_ID}
COMMITTED: Final = {"charged": 450, "refunded": 50, "newBalance": 1550}
RELEASE: Final = {"reservationId": _HOLD_ID, "reason": "build failed"}
RELEASED: Final = {"released": 500, "newBalance": 2000}
ACCOUNT: Final = {"balance": 2000, "reserved": 500, "available": 1500}
ENTRY: Final[dict[str, Any]] = {
    "seq": 7,
    "kind": "commit",
    "reservationId": _HOLD_ID,
    "balanceDelta": -450,
    "balanceAfter": 1550,
    "reservedDelta": -500,
    "reservedAfter": 0,
    "originalSeq": None,
    "priority": None,
    "lapsesAt": None,
    "reason": "",
    "createdAt": "2026-01-15T10:05:00.000000Z",
}
_ROW: Final[dict[str, Any]] = {
    "seq": 7,
    "createdAt": "2026-01-15T10:05:00.000000Z",
    "kind": "commit",
    "balanceDelta": -450,
}
STATEMENT_CSV: Final = OpenApiExample(
    "Its beginning",
    value=",".join(_ROW) + "\n" + ",".join(str(value) for value in _ROW.values()) + "\n",
    response_only=True,
)
STATEMENT_LINES: Final = OpenApiExample(
    "One line, shortened", value=json.dumps(_ROW) + "\n", response_only=True
)
