"""The kinds of jobs, as they are told to others (W-03)."""

from __future__ import annotations

from typing import Any

from jobs.registry import Handler, all_handlers


def offered_handlers() -> list[Handler]:
    """Return the handlers of the kinds that clients may create, by kind."""
    return [handler for handler in all_handlers() if handler.scope]


def payload_schema(handler: Handler) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind's payload, as it is checked at enqueue and run."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:flagship:{handler.kind}:v{handler.payload.VERSION}",
        **handler.payload.model_json_schema(),
    }
