"""Guards that others imply, and why they stay: their loss shows only together with those."""

from __future__ import annotations

from typing import Final

from tests.attack.catalog import Guard

_TARGET: Final = "holds what the primary key holds; it is what {} points at"
_DJANGO: Final = "Django's own check of the column's type; {} is narrower"

REDUNDANT: Final = {
    "builds_build.build_project_key": _TARGET.format("project_live_build_of_project"),
    "builds_build.build_state_known": "build_move_legal names the states as well; this one reads",
    "builds_build.builds_build_estimated_credits_check": _DJANGO.format("build_estimate_positive"),
    "builds_build.builds_build_max_active_check": _DJANGO.format("build_max_active_of_project"),
    "builds_buildevent.builds_buildevent_seq_check": _DJANGO.format("build_event_seq_from_1"),
    "builds_buildlogline.builds_buildlogline_seq_check": _DJANGO.format(
        "build_log_line_seq_from_1"
    ),
    "builds_buildtransition.builds_buildtransition_seq_check": _DJANGO.format(
        "build_transition_seq_from_1"
    ),
    "builds_project.builds_project_max_active_check": _DJANGO.format("project_max_active_in_range"),
    "builds_project.project_max_active_key": _TARGET.format("build_max_active_of_project"),
    "builds_project.project_tenant_key": _TARGET.format("build_project_of_organization"),
    "builds_source.source_tenant_key": _TARGET.format("build_source_of_project"),
    "credits_account.credits_account_balance_not_negative": (
        "credits_account_reserved_in_balance implies it; this one says what is meant"
    ),
    "credits_entry.credits_entry_link": (
        "credits_entry_seq_once is narrower; it is what credits_entry_follows_previous points at"
    ),
    "credits_reservation.credits_reservation_identity": _TARGET.format(
        "credits_entry_names_its_hold"
    ),
    "credits_statement.credits_statement_link": (
        "the unique number is narrower; it is what credits_statement_follows_previous points at"
    ),
}


def is_redundant(guard: Guard) -> bool:
    """Whether others imply it: those above, and NOT NULL of what is a primary key anyway."""
    return str(guard) in REDUNDANT or (guard.sort, guard.detail) == ("n", "id")
