"""The story that `manage.py demo` tells: the system's main jobs, over HTTP, on real sites."""

from __future__ import annotations

from builds.management.demo.client import Client
from builds.management.demo.console import Console
from builds.management.demo.failed import DemoFailed
from builds.management.demo.running import Operator, System, can_run_code, running_system
from builds.management.demo.story import Story
from builds.management.demo.teller import Teller

__all__ = [
    "Client",
    "Console",
    "DemoFailed",
    "Operator",
    "Story",
    "System",
    "Teller",
    "can_run_code",
    "running_system",
]
