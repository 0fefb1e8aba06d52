"""How a job stands, in words: what its page shows on top and keeps fresh."""

from __future__ import annotations

from typing import Any, Final

from django.utils.safestring import SafeString

from jobs.admin.display import badge, duration, moment, pretty_json, span
from jobs.admin.links import worker_link
from jobs.admin.timeline import timeline
from jobs.ids import public_id
from jobs.models import Job, JobAttempt
from jobs.states import FINISHED, JobState, Outcome

ENDINGS: Final = {
    JobState.SUCCEEDED: "It was asked to stop, and succeeded first.",
    JobState.DEAD: "It was asked to stop, and died first.",
}


def standing_of(job: Job) -> dict[str, Any]:
    """Return what the templates in admin/jobs/job show of a job."""
    is_asked = job.state == JobState.RUNNING and job.cancel_requested_at is not None
    return {
        "job": job,
        "public_id": public_id("job", job.pk),
        "is_over": job.state in FINISHED,
        "is_asked": is_asked,
        "state_badge": badge("stopping", "warning") if is_asked else badge(job.state),
        "story": story_of(job),
        "since": moment(job.finished_at or job.started_at or job.created_at),
        "facts": facts_of(job),
        "progress": pretty_json(job.progress) if job.progress is not None else "",
        "result": pretty_json(job.result) if job.result is not None else "",
        "timeline": timeline(job.pk),
    }


def story_of(job: Job) -> str:
    """Say what became of the wish to stop a job; nothing where nobody had it."""
    asked_at = job.cancel_requested_at
    if asked_at is None or job.state == JobState.RUNNING:
        return "It was asked to stop; its worker has not confirmed yet." if asked_at else ""
    if job.state != JobState.CANCELLED:
        return ENDINGS.get(JobState(job.state), "")
    if JobAttempt.objects.filter(job_id=job.pk, outcome=Outcome.CANCELLED).exists():
        return f"It was stopped: its worker confirmed after {duration(asked_at, job.finished_at)}."
    return "It was cancelled while it waited. It never runs."


def facts_of(job: Job) -> list[tuple[str, SafeString | str]]:
    """Write what changes while a job runs, and what it is allowed."""
    return [
        ("Attempts", runs_of(job)),
        ("Lost workers", str(job.crashes)),
        ("Backoff", ", ".join(f"{wait:g} s" for wait in job.backoff_s) or "no retry"),
        ("Timeout", span(job.timeout_s)),
        ("Created", moment(job.created_at)),
        ("First started", moment(job.started_at)),
        ("Next attempt", moment(job.next_attempt_at)),
        ("Finished", moment(job.finished_at)),
        ("Worker", worker_link(job.lease_owner)),
        ("Lease until", moment(job.lease_until)),
    ]


def runs_of(job: Job) -> str:
    """Write how many runs were started, and how much of the retry budget is used."""
    return f"{job.attempts} ({job.failures} of {job.max_attempts} failed)"
