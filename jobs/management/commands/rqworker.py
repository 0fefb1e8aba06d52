"""django-rq's `rqworker`, listening to all our queues when none is named."""

from __future__ import annotations

from typing import Any

from django_rq.management.commands import rqworker

from jobs.management.starts import CHECKED
from jobs.queues import QUEUES


class Command(rqworker.Command):
    """Run a worker: on the queues named, or on all of them."""

    help = "Run a worker on the queues named, or on all of them."
    requires_system_checks = CHECKED

    def handle(self, *queues: str, **options: Any) -> None:
        """Start the worker."""
        super().handle(*(queues or QUEUES), **options)  # type: ignore[no-untyped-call]
