"""Answering everything a filter matches, with care (D-03, D-07; docs/console.md, "Redrives")."""

from __future__ import annotations

from jobs.services.redrives.ask import RedriveOrder, start_redrive
from jobs.services.redrives.decide import abort_redrive, approve_redrive, stop_dead_redrive
from jobs.services.redrives.run import run_slice

__all__ = [
    "RedriveOrder",
    "abort_redrive",
    "approve_redrive",
    "run_slice",
    "start_redrive",
    "stop_dead_redrive",
]
