"""People at the console."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.integration.console.rows import browser_of, make_operator


@pytest.fixture
def operator(db: None) -> Client:
    """May see, requeue and discard dead letters."""
    return browser_of(
        make_operator(
            "jobs.view_failedjob",
            "jobs.view_job",
            "jobs.requeue_failedjob",
            "jobs.discard_failedjob",
        )
    )


@pytest.fixture
def viewer(db: None) -> Client:
    """May only look."""
    return browser_of(make_operator("jobs.view_failedjob", "jobs.view_job", name="vic"))
