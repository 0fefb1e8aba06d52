"""`manage.py demo`: the system's main jobs, end to end, before your eyes."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from builds.management.demo import (
    Client,
    Console,
    DemoFailed,
    Operator,
    Story,
    Teller,
    can_run_code,
    running_system,
)
from flagship.management.embedded import Home


@dataclass(frozen=True, slots=True)
class Stage:
    """A system, and what can be done with it beyond its API; of one elsewhere nothing is known."""

    url: str
    api_key: str
    operator: Operator | None
    prove: Callable[[], dict[str, Any]] | None = None
    runs_code: bool = False


class Command(BaseCommand):
    """Tell the story on real sites, through a running system or one started for this."""

    help = (
        "Tell the story of the system on real sites, against the system that runs in"
        " FLAGSHIP_HOME, or one started for it, or --url; the last line is one JSON object."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--url", help="a system somewhere else, with --api-key")
        parser.add_argument("--api-key", help="a key with all scopes, for --url")
        parser.add_argument("--admin-username", help="an operator of the system at --url")
        parser.add_argument("--admin-password", help="that operator's password")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell it; exit code 1 when something is not as it should be."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        for name in ("httpx", "flagship.builds"):
            logging.getLogger(name).setLevel(logging.WARNING)
        started_at = time.monotonic()
        try:
            with self._stage(options) as stage:
                summary = self._tell(stage)
        except DemoFailed as failure:
            raise CommandError(str(failure)) from failure
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=130) from None
        summary["seconds"] = round(time.monotonic() - started_at, 1)
        self.stdout.write(json.dumps(summary))

    @contextlib.contextmanager
    def _stage(self, options: dict[str, Any]) -> Iterator[Stage]:
        """Yield where the story takes place."""
        if url := options["url"]:
            if not options["api_key"]:
                raise CommandError("--url needs --api-key")
            name, password = options["admin_username"], options["admin_password"]
            operator = Operator(name, password) if name else None
            yield Stage(url.rstrip("/"), options["api_key"], operator)
            return
        self.say("A system")
        home = Home(settings.HOME)
        with running_system(home, settings.BASE_DIR, lambda line: self.say(f"  {line}")) as system:
            self.say(f"  ready at {system.url}\n\nAn organization with credits")
            api_key, operator = system.bootstrap("Demo")
            self.say("  made by `manage.py bootstrap`, with an API key and an operator")
            yield Stage(system.url, api_key, operator, system.reconcile, can_run_code())

    def _tell(self, stage: Stage) -> dict[str, Any]:
        """Run the story and show where to look."""
        url, operator = stage.url, stage.operator
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(contextlib.closing(Client(url, stage.api_key)))
            console = None
            if operator:
                console = Console(url, operator.username, operator.password)
                stack.enter_context(contextlib.closing(console))
            teller = Teller(client, self.say)
            summary = Story(teller, console, stage.prove, stage.runs_code).tell()
        self.say("\nWhere to look, while a system runs (`make up`)")
        self.say(f"  console  {url}/admin/")
        if operator:
            self.say(f"           {operator.username} / {operator.password}")
        self.say(f"  API      {url}/v1/docs\n")
        return {**summary, "adminUrl": f"{url}/admin/"}

    def say(self, line: str) -> None:
        """Print a line at once."""
        self.stdout.write(line)
        self.stdout.flush()
