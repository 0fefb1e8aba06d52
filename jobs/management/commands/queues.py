"""`manage.py queues`: how the queues are doing; pause one, resume it (W-17)."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.errors import Refusal
from jobs.models import QueuePause
from jobs.queues import QUEUES
from jobs.selectors.pauses import pauses
from jobs.selectors.queues import QueueFacts, queue_facts
from jobs.services.pauses import pause_queue, resume_queue

ROW = "{:<24}{:>10}{:>9}{:>9}{:>9}{:>11}  {}"
HEAD = ROW.format("queue", "waiting", "delayed", "running", "retrying", "oldest s", "paused")


class Command(BaseCommand):
    """List the queues, pause one, resume it."""

    help = "List the queues with their numbers; pause one, or resume it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to do, to which queue and why."""
        parser.add_argument("action", nargs="?", choices=["list", "pause", "resume"])
        parser.add_argument("queue", nargs="?", metavar="QUEUE", help=", ".join(QUEUES))
        parser.add_argument("--reason", default="", help="why; required to pause")
        parser.add_argument(
            "--for", type=float, dest="for_s", metavar="SECONDS", help="then resume"
        )
        parser.add_argument("--actor", default="", help="who decides (default: cli:<your login>)")
        parser.add_argument("--json", action="store_true", help="one JSON document, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print what is so now."""
        action, queue = options["action"], options["queue"]
        if action in ("pause", "resume"):
            if not queue:
                raise CommandError(f"name the queue to {action}: {', '.join(QUEUES)}")
            self._decide(action, queue, options)
        standing = pauses()
        if options["json"]:
            items = [asdict(facts) | _pause(standing.get(facts.queue)) for facts in queue_facts()]
            self.stdout.write(json.dumps(items))
            return
        self.stdout.write(HEAD)
        for facts in queue_facts():
            self.stdout.write(_line(facts, standing.get(facts.queue)))

    def _decide(self, action: str, queue: str, options: dict[str, Any]) -> None:
        actor = options["actor"] or f"cli:{getpass.getuser()}"
        try:
            if action == "pause":
                reason, for_s = options["reason"], options["for_s"]
                pause_queue(queue=queue, actor=actor, reason=reason, for_s=for_s)
            else:
                resume_queue(queue=queue, actor=actor)
        except (Refusal, ValueError) as error:
            raise CommandError(str(error)) from error


def _line(facts: QueueFacts, pause: QueuePause | None) -> str:
    more = "" if facts.is_exact else "+"
    counts = (facts.waiting, facts.delayed, facts.running, facts.retrying)
    age = f"{facts.oldest_age_s:.1f}"
    return ROW.format(facts.queue, *(f"{each}{more}" for each in counts), age, _words(pause))


def _words(pause: QueuePause | None) -> str:
    if pause is None:
        return ""
    until = f" until {pause.resume_at:%Y-%m-%d %H:%M:%SZ}" if pause.resume_at else ""
    return f"since {pause.paused_at:%Y-%m-%d %H:%M:%SZ}{until} by {pause.paused_by}: {pause.reason}"


def _pause(pause: QueuePause | None) -> dict[str, Any]:
    if pause is None:
        return {"paused": None}
    until = pause.resume_at.isoformat() if pause.resume_at else None
    return {
        "paused": {
            "paused_at": pause.paused_at.isoformat(),
            "paused_by": pause.paused_by,
            "reason": pause.reason,
            "resume_at": until,
        }
    }
