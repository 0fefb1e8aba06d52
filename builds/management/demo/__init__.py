"""The story that `manage.py demo` tells: the system's main job, over HTTP, on two real sites."""

from __future__ import annotations

from builds.management.demo.client import Client
from builds.management.demo.console import Console
from builds.management.demo.failed import DemoFailed
from builds.management.demo.running import Operator, System, running_system
from builds.management.demo.story import Story

__all__ = ["Client", "Console", "DemoFailed", "Operator", "Story", "System", "running_system"]
