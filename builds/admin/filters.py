"""Filters that pages of builds share."""

from __future__ import annotations

from jobs.admin.filters import SeenValuesFilter


class ErrorCodeFilter(SeenValuesFilter):
    """By why it failed."""

    title = "error"
    parameter_name = "error_code"
    column = "error_code"
