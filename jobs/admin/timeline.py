"""The attempts of a job as a page shows them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.utils.safestring import SafeString

from jobs.admin.display import badge, duration, moment
from jobs.models import JobAttempt

SHOWN_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt, written for reading."""

    number: int
    outcome: SafeString
    tone: str
    worker: str
    started: SafeString | str
    took: str
    wait: str
    error_class: str
    message: str
    traceback: str
    unfolded: bool


def timeline(job_id: uuid.UUID) -> list[Line]:
    """Read the attempts of a job, the newest first; the newest traceback is unfolded."""
    attempts = JobAttempt.objects.filter(job_id=job_id).order_by("-number")[:SHOWN_ATTEMPTS]
    lines: list[Line] = []
    for attempt in attempts:
        unfolded = bool(attempt.traceback) and not any(line.unfolded for line in lines)
        lines.append(_line(attempt, unfolded))
    return lines


def _line(attempt: JobAttempt, unfolded: bool) -> Line:
    """Write one attempt."""
    wait = duration(attempt.ended_at, attempt.retry_at) if attempt.retry_at else ""
    return Line(
        number=attempt.number,
        outcome=badge(attempt.outcome),
        tone="bad" if attempt.error_class else "good",
        worker=attempt.worker,
        started=moment(attempt.started_at),
        took=duration(attempt.started_at, attempt.ended_at),
        wait=wait,
        error_class=attempt.error_class,
        message=attempt.message,
        traceback=attempt.traceback,
        unfolded=unfolded,
    )
