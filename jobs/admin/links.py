"""Links to rows of the engine that have no public id."""

from __future__ import annotations

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def worker_link(name: str) -> SafeString | str:
    """Link to a process by its name."""
    if not name:
        return "-"
    href = reverse("admin:jobs_workerheartbeat_change", args=[quote(name)])
    return format_html('<a class="fs-link fs-mono" href="{}">{}</a>', href, name)
