"""Numbers beside the entries of the sidebar."""

from __future__ import annotations

from django.http import HttpRequest

from jobs.models import FailedJob
from jobs.states import LetterState

SHOWN = 99


def open_dead_letters(request: HttpRequest) -> str:
    """Count what waits for an answer, up to `SHOWN`; empty when nothing does."""
    rows = FailedJob.objects.filter(state=LetterState.OPEN).order_by()[: SHOWN + 1].count()
    return f"{SHOWN}+" if rows > SHOWN else str(rows or "")
