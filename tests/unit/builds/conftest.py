"""Fixtures of the tests of builds."""

from __future__ import annotations

from tests.unit.builds.sandboxed import closed_sandbox, sandbox

__all__ = ["closed_sandbox", "sandbox"]
