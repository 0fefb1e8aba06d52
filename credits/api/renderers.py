"""Let clients that ask for a statement's own media type pass content negotiation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer


class _Written(BaseRenderer):
    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Never called: the view streams its answer."""
        raise NotImplementedError


class CsvRenderer(_Written):
    """Comma-separated values (RFC 4180)."""

    media_type = "text/csv"
    format = "csv"


class JsonLinesRenderer(_Written):
    """One JSON object a line."""

    media_type = "application/x-ndjson"
    format = "jsonl"
