"""django-rq's `rqscheduler`, which starts without looking at what it does not serve."""

from __future__ import annotations

from django_rq.management.commands import rqscheduler

from jobs.management.starts import CHECKED


class Command(rqscheduler.Command):
    """Run a scheduler."""

    help = "Run a scheduler: schedules, the sweep, and the bells of what was committed."
    requires_system_checks = CHECKED
