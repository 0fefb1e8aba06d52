"""Filters of the console's lists."""

from __future__ import annotations

from jobs.admin.filters.letters import UnclearFilter, letter_filter_of
from jobs.admin.filters.lists import (
    ActionFilter,
    AgeFilter,
    KindFilter,
    OpenFirstFilter,
    OrganizationFilter,
    QueueFilter,
    SeenValuesFilter,
    StateFilter,
)

__all__ = [
    "ActionFilter",
    "AgeFilter",
    "KindFilter",
    "OpenFirstFilter",
    "OrganizationFilter",
    "QueueFilter",
    "SeenValuesFilter",
    "StateFilter",
    "UnclearFilter",
    "letter_filter_of",
]
