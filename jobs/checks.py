"""System checks: a process that would run jobs wrongly does not start."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from jobs.queues import QUEUES
from jobs.registry import SOME_TIME, get_handler, scheduled

CLASSES: Final = {
    "JOB_CLASS": "jobs.worker.doorbell.Doorbell",
    "WORKER_CLASS": "jobs.worker.worker.ThreadWorker",
    "SCHEDULER_CLASS": "jobs.worker.scheduler.SweepingScheduler",
    "COMMIT_MODE": "auto",
}


@register("jobs")
def check_queues(**_: Any) -> list[CheckMessage]:
    """jobs.E001: every queue of the table is configured for RQ."""
    missing = [name for name in QUEUES if name not in settings.RQ_QUEUES]
    return [Error(f"RQ_QUEUES lacks {name}", id="jobs.E001") for name in missing]


@register("jobs")
def check_classes(**_: Any) -> list[CheckMessage]:
    """jobs.E002: RQ uses our classes; E003: django-rq's own console stays closed."""
    errors: list[CheckMessage] = [
        Error(f"RQ[{key!r}] must be {value!r}", id="jobs.E002")
        for key, value in CLASSES.items()
        if settings.RQ.get(key) != value
    ]
    if getattr(settings, "RQ_SHOW_ADMIN_LINK", False):
        # It lets any staff user empty queues (rq.md, section 6).
        errors.append(Error("RQ_SHOW_ADMIN_LINK must be False", id="jobs.E003"))
    return errors


@register("jobs")
def check_leases(**_: Any) -> list[CheckMessage]:
    """jobs.E004: a lease outlives two renewals, so that one late beat loses nothing."""
    if settings.JOB_LEASE_S < 2 * settings.JOB_LEASE_RENEWAL_S:
        return [Error("JOB_LEASE_S must be at least twice JOB_LEASE_RENEWAL_S", id="jobs.E004")]
    return []


@register("jobs")
def check_schedules(**_: Any) -> list[CheckMessage]:
    """jobs.E005: what is scheduled can make its payload, and has a handler that it fits."""
    errors: list[CheckMessage] = []
    for each in scheduled():
        try:
            payload = each.payload_for(SOME_TIME)
            get_handler(payload.KIND).load(payload.to_json())
        except Exception as error:
            # A payload may be made by the app's own function, which can fail in any way.
            errors.append(Error(f"schedule {each.name}: {error}", id="jobs.E005"))
    return errors
