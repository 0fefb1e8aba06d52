"""`manage.py up`: a whole system in one command."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from flagship.management.embedded import Home, HomeInUse, ServerFailed
from flagship.management.supervisor import CrashLoop, PortTaken, System, SystemFailed


class Command(BaseCommand):
    """Start what is not given (PostgreSQL, Valkey), migrate, run and supervise all processes."""

    help = (
        "Run a whole system until Ctrl-C: PostgreSQL and Valkey unless DATABASE_URL and REDIS_URL"
        " name others, then api, streams, worker and scheduler."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--port", type=int, default=0, help="port of the api (8000 if free)")
        parser.add_argument(
            "--no-migrate", action="store_true", help="leave the tables as they are"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        system = System(
            home=Home(settings.HOME),
            root=settings.BASE_DIR,
            given=os.environ,
            write=self.print_line,
            port=options["port"],
            migrate=not options["no_migrate"],
            worker_drain_s=settings.WORKER_DRAIN_LIMIT_S,
        )
        try:
            system.run()
        except (HomeInUse, PortTaken, ServerFailed, SystemFailed, CrashLoop) as error:
            raise CommandError(str(error)) from error

    def print_line(self, name: str, line: str) -> None:
        """Print a line under the name of who says it; when nobody reads any more, stop."""
        try:
            self.stdout.write(f"{name:<9} | {line}")
            self.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            signal.raise_signal(signal.SIGTERM)
