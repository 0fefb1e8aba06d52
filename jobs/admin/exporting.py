"""Dead letters as a file: what the list shows, streamed, with secrets masked (D-07)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import masked
from jobs.admin.filters import UnclearFilter, letter_filter_of
from jobs.ids import public_id
from jobs.models import FailedJob
from jobs.selectors.exports import newest_first
from jobs.selectors.letters import LetterFilter
from jobs.selectors.sheets import csv_line
from jobs.services.exports import record_export

COLUMNS: Final = (
    *("id", "jobId", "kind", "queue", "organizationId", "state", "errorClass", "message"),
    *("fingerprint", "attempts", "payload", "requestId", "correlationId", "diedAt"),
    *("resolvedAt", "resolvedBy", "reason"),
)
MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


class ExportingAdmin(ReadOnlyAdmin):
    """The export: POST only, with a permission of its own, recorded before its first line."""

    def has_export_permission(self, request: HttpRequest) -> bool:
        """May this operator take dead letters out of the console?"""
        return bool(request.user.has_perm("jobs.export_failedjob"))

    def get_urls(self) -> list[URLPattern]:
        """Add the export."""
        view = self.admin_site.admin_view(require_POST(self.export_view))
        urls: list[URLPattern] = super().get_urls()
        return [path("export.<str:form>", view, name="jobs_failedjob_export"), *urls]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Stream everything that the list's filter matches, the newest first."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        if form not in MEDIA_TYPES:
            raise Http404
        try:
            wanted = letter_filter_of(request)
        except UnclearFilter as unclear:
            messages.warning(request, f"Nothing done: {unclear}")
            back = f"{reverse('admin:jobs_failedjob_changelist')}?{request.GET.urlencode()}"
            return HttpResponseRedirect(back)
        record_export(wanted=wanted, form=form, actor=operator_of(request))
        response = StreamingHttpResponse(lines(wanted, form), content_type=MEDIA_TYPES[form])
        response["Content-Disposition"] = f'attachment; filename="dead-letters.{form}"'
        return response


def lines(wanted: LetterFilter, form: str) -> Iterator[str]:
    """Yield a file line by line, as CSV with a header or as one JSON object a line."""
    rows = (_row(letter) for letter in newest_first(wanted))
    return _csv(rows) if form == "csv" else _json(rows)


def _csv(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield csv_line(COLUMNS)
    for row in rows:
        payload = json.dumps(row["payload"], ensure_ascii=False, sort_keys=True)
        yield csv_line((row | {"payload": payload}).values())


def _json(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _row(letter: FailedJob) -> dict[str, Any]:
    values = (
        letter.pk,
        public_id("job", letter.job_id),
        letter.kind,
        letter.queue,
        public_id("org", letter.organization_id) if letter.organization_id else None,
        *(letter.state, letter.error_class),
        letter.message,
        letter.fingerprint,
        letter.attempts,
        masked(letter.payload),
        letter.request_id,
        letter.correlation_id,
        _moment(letter.died_at),
        _moment(letter.resolved_at),
        letter.resolved_by,
        letter.reason,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _moment(at: datetime | None) -> str | None:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if at else None
