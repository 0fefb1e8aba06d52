"""Edit and retry: another payload for a job that died of the one it had (D-07)."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_POST

from jobs.admin.answering import AnsweringAdmin
from jobs.admin.base import operator_of
from jobs.admin.edits import Unreadable, changes, editable, read_edited
from jobs.errors import InvalidPayload, Refusal, UnknownKind
from jobs.models import FailedJob
from jobs.registry import get_handler
from jobs.selectors.kinds import payload_schema
from jobs.services.dead_letters import requeue


class EditingAdmin(AnsweringAdmin):
    """Write, look at what differs, and only then retry; the letter keeps the payload it had."""

    def has_edit_permission(self, request: HttpRequest) -> bool:
        """May this operator edit a payload and requeue it?"""
        return bool(request.user.has_perm("jobs.edit_failedjob"))

    def get_urls(self) -> list[URLPattern]:
        """Add the page of the editor, and the answer, which exists for POST only."""
        edit = require_http_methods(["GET", "POST"])(self.edit_view)
        send = require_POST(self.requeue_edited_view)
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/edit/", wrap(edit), name="jobs_failedjob_edit"),
            path(
                "<int:object_id>/requeue-edited/", wrap(send), name="jobs_failedjob_requeue_edited"
            ),
            *super().get_urls(),
        ]

    def edit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Show the editor, and what was written compared with what the job died with."""
        letter = self._to_edit(request, object_id)
        if letter.state != "open":
            messages.warning(request, f"Nothing to edit: the letter has been {letter.state}.")
            return self._to_letter(request, object_id)
        text = request.POST.get("payload", "")
        checked = _check(letter, text) if request.method == "POST" else {}
        context = {
            **self.admin_site.each_context(request),
            "title": f"Edit and retry: {letter.kind}",
            "opts": self.opts,
            "letter": letter,
            "text": text or editable(letter.payload),
            "fields": _fields(letter.kind),
            **checked,
        }
        return TemplateResponse(request, "admin/jobs/failedjob/edit.html", context)

    def requeue_edited_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Requeue this dead letter with the payload written."""
        letter = self._to_edit(request, object_id)
        try:
            payload = read_edited(request.POST.get("payload", ""), letter.payload)
        except Unreadable as error:
            messages.error(request, f"Nothing done: {error}")
            return self._to_letter(request, object_id)
        give = partial(requeue, actor=operator_of(request), payload=payload)
        return self._answer(request, object_id, give)

    def _to_edit(self, request: HttpRequest, object_id: int) -> FailedJob:
        """Read the letter for those who may edit it."""
        if not self.has_edit_permission(request):
            raise PermissionDenied
        return get_object_or_404(FailedJob, pk=object_id)


def _check(letter: FailedJob, text: str) -> dict[str, Any]:
    """Compare what was written with the original, and with the schema of the kind."""
    try:
        payload = read_edited(text, letter.payload)
        get_handler(letter.kind).load(payload)
    except Unreadable as error:
        return {"refused": str(error)}
    except InvalidPayload as refusal:
        found = list(changes(letter.payload, payload))
        return {"refused": refusal.message, "problems": refusal.data["problems"], "changes": found}
    except Refusal as refusal:
        return {"refused": refusal.message}
    found = list(changes(letter.payload, payload))
    return {"changes": found, "is_checked": True}


def _fields(kind: str) -> list[dict[str, Any]]:
    """Describe the fields of a kind's payload, as its schema has them."""
    try:
        schema = payload_schema(get_handler(kind))
    except UnknownKind:
        return []
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": " or ".join(_types(field)),
            "is_required": name in required,
            "about": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _types(field: dict[str, Any]) -> list[str]:
    """Name the types a field may have, or the values, where those are few."""
    if "enum" in field:
        return [str(value) for value in field["enum"]]
    parts = field.get("anyOf") or [field]
    return [part.get("type", "object") for part in parts]
