"""Fixtures of the tests of builds."""

from __future__ import annotations

from tests.integration.jobs.conftest import executor

__all__ = ["executor"]
