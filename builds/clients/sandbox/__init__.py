"""Run a builder's process where it can do little harm; docs/builds.md says what is promised."""

from __future__ import annotations

from builds.clients.sandbox.levels import isolation
from builds.clients.sandbox.limits import Outcome, SandboxLimits, SandboxResult
from builds.clients.sandbox.run import run_sandboxed

__all__ = ["Outcome", "SandboxLimits", "SandboxResult", "isolation", "run_sandboxed"]
