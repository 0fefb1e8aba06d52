"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.worker.execute import Executor


@pytest.fixture
def executor(live_db: None) -> Iterator[Executor]:
    """An executor in this process, with its watchdog and monitor running."""
    running = Executor("test-worker", lease_s=2.0, renewal_s=0.5)
    running.start()
    yield running
    running.end()
