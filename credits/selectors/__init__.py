"""Reads of the ledger, one file per question."""

from __future__ import annotations

from credits.selectors.funds import (
    Funds,
    get_funds,
    get_reservation,
    list_entries,
    list_overdue_reservations,
)
from credits.selectors.history import (
    BalanceAt,
    BalancePoint,
    csv_blocks,
    get_balance_at,
    json_blocks,
    list_balances,
)
from credits.selectors.lots import list_accounts_with_overdue_lots
from credits.selectors.proof import Finding, account_findings, list_account_ids
from credits.selectors.statements import broken_statements, days_to_state

__all__ = [
    "BalanceAt",
    "BalancePoint",
    "Finding",
    "Funds",
    "account_findings",
    "broken_statements",
    "csv_blocks",
    "days_to_state",
    "get_balance_at",
    "get_funds",
    "get_reservation",
    "json_blocks",
    "list_account_ids",
    "list_accounts_with_overdue_lots",
    "list_balances",
    "list_entries",
    "list_overdue_reservations",
]
