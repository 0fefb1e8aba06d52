"""The reconciler: prove every account, freeze those that drift, write the daily statement."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Q

from credits.metrics import BROKEN_STATEMENTS, DRIFTING_ACCOUNTS, RECONCILED_AT
from credits.models import Account, Reservation
from credits.selectors import (
    Finding,
    account_findings,
    broken_statements,
    days_to_state,
    list_account_ids,
)
from credits.services.charges import Charge, charge_readers
from credits.services.ledger import call_ledger
from flagship.services.audit import record
from jobs.ids import public_id

logger = logging.getLogger("credits.proof")

ACTOR: Final = "system:credits"
# Accounts of one statement and one snapshot.
BATCH: Final = 200
# Pieces of work matched to their charges at once.
CHARGES: Final = 2_000
STATEMENT_TIMEOUT_MS: Final = 600_000
FINDINGS_KEPT: Final = 50

Findings = dict[uuid.UUID, list[Finding]]


@dataclass(slots=True)
class Reconciled:
    """What a proof found. `drifting` by organization; `frozen` are those this run froze."""

    accounts: int = 0
    drifting: dict[uuid.UUID, list[Finding]] = field(default_factory=dict)
    frozen: list[uuid.UUID] = field(default_factory=list)
    stated: list[date] = field(default_factory=list)
    broken_statements: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def holds(self) -> bool:
        """Is everything what entries make it?"""
        return not self.drifting and not self.broken_statements

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, organizations by their public ids."""
        return {
            "holds": self.holds,
            "accounts": self.accounts,
            "drifting": {
                public_id("org", organization_id): [asdict(finding) for finding in findings]
                for organization_id, findings in self.drifting.items()
            },
            "frozen": [public_id("org", organization_id) for organization_id in self.frozen],
            "stated": [day.isoformat() for day in self.stated],
            "brokenStatements": self.broken_statements,
            "tookSeconds": round(self.took_s, 3),
        }


def reconcile(
    *, organization_id: uuid.UUID | None = None, between: Callable[[], None] = lambda: None
) -> Reconciled:
    """Prove all accounts, or one organization's, from their entries; freeze those that drift.

    Balances, holds, lots and draws are recomputed from entries alone, and every piece of work that
    a domain registered is matched to its charge, each batch of accounts in one snapshot. A
    drifting account is frozen: commits on it are refused, on no other. A full run also writes the
    statements that are due, checks those there are, and sets the gauges. `between` is called
    between batches, and may raise.

    Source: C-06, feature-anchors J-5; docs/adr/0012-lots.md.
    """
    started = time.monotonic()
    result = Reconciled()
    for account_ids in _batches(organization_id):
        between()
        result.accounts += len(account_ids)
        for account_id, findings in _prove(account_ids).items():
            _freeze(account_id, sorted(findings), result)
    if organization_id is None:
        result.stated = _state(drifting=len(result.drifting))
        result.broken_statements = _check_statements()
        DRIFTING_ACCOUNTS.set(len(result.drifting))
        BROKEN_STATEMENTS.set(len(result.broken_statements))
        RECONCILED_AT.set_to_current_time()
    for problem in result.broken_statements:
        logger.error("credits.statement_broken %s", problem)
    result.took_s = time.monotonic() - started
    return result


def _batches(organization_id: uuid.UUID | None) -> Any:
    """Yield ids of accounts, a batch at a time."""
    if organization_id is not None:
        yield list(
            Account.objects.filter(organization_id=organization_id).values_list("id", flat=True)
        )
        return
    after: uuid.UUID | None = None
    while batch := list_account_ids(after=after, limit=BATCH):
        yield batch
        after = batch[-1]


def _prove(account_ids: Collection[uuid.UUID]) -> Findings:
    """Return what differs in these accounts, their rows and their work read in one snapshot."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
        findings = account_findings(account_ids=account_ids)
        owners = dict(
            Account.objects.filter(id__in=account_ids).values_list("organization_id", "id")
        )
        for subject_type, reader in charge_readers().items():
            charges = iter(reader(list(owners)))
            while batch := list(islice(charges, CHARGES)):
                for organization_id, finding in _unmatched(subject_type, batch):
                    findings.setdefault(owners[organization_id], []).append(finding)
    return findings


def _unmatched(subject_type: str, charges: list[Charge]) -> list[tuple[uuid.UUID, Finding]]:
    """Compare what a domain says with the reservations, or what has taken their place."""
    ids = [charge.reservation_id for charge in charges]
    holds = Reservation.objects.filter(Q(id__in=ids) | Q(renews_id__in=ids))
    by_id: dict[uuid.UUID, Reservation] = {}
    for hold in holds.order_by("created_at"):
        by_id[hold.renews_id or hold.id] = hold
    found = []
    for charge in charges:
        hold = by_id[charge.reservation_id]
        if hold.charged != charge.charged:
            told = (str(charge.charged), str(hold.charged))
            rule = f"{subject_type}.charge"
            found.append((charge.organization_id, Finding(rule, charge.subject_id, *told)))
    return found


def _freeze(account_id: uuid.UUID, findings: list[Finding], result: Reconciled) -> None:
    """Freeze one account and tell of it; findings that an operator accepted are only counted."""
    told = [
        {**asdict(finding), "difference": finding.difference}
        for finding in findings[:FINDINGS_KEPT]
    ]
    with transaction.atomic(durable=True):
        row = call_ledger("credits_freeze_account", account_id, json.dumps(told))
        organization_id: uuid.UUID = row["organization_id"]
        if row["is_new"]:
            result.frozen.append(organization_id)
            record(
                action="credits.account_frozen",
                subject_type="account",
                subject_id=str(account_id),
                organization_id=organization_id,
                actor=ACTOR,
                data={"findings": told[:10], "count": len(findings)},
            )
    result.drifting[organization_id] = findings
    logger.error(
        "credits.drift account=%s findings=%d first=%s", account_id, len(findings), findings[0]
    )


def _check_statements() -> list[str]:
    """Return what of the statements does not hold; the latest is worked out from every entry."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
        return broken_statements()


def _state(*, drifting: int) -> list[date]:
    """Write the statements that are due; return their days."""
    stated = []
    for day in days_to_state():
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
            row = call_ledger("credits_write_statement", day, drifting)
        if row["is_new"]:
            stated.append(day)
    return stated
