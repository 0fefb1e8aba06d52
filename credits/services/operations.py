"""One statement for an operation of the ledger and the audit event that tells of it.

The account's row is locked from the function's first line to the end of the transaction. A caller
without a transaction of its own gets one that begins and ends with the statement, so that nothing
is waited for under the lock but the flush of its commit; within a caller's transaction it is one
trip under the lock instead of two.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.db import IntegrityError, connection, transaction

from credits.services.ledger import record_on_reservation, record_overdue, refusal_for
from flagship.services.audit import EVENT_COLUMNS, EVENT_VALUES, event_values
from jobs.clients.postgres import constraint_of, run
from jobs.ids import public_id

# What the statement raises where it may not commit by itself.
OVERDUE: Final = "credits_overdue_to_be_told"


@dataclass(frozen=True)
class Operation:
    """A function of the ledger: its `arguments`, what it answers, and the event of its effect.

    `told` is the event's data in SQL, over the answer's columns and `%(event_data)s`.
    """

    function: str
    arguments: tuple[str, ...]
    answer: tuple[str, ...]
    action: str
    told: str

    @cached_property
    def statement(self) -> str:
        """Call the function and record its event.

        Where something was found overdue the event is left to the caller, who has others to
        record before it, and who needs a transaction for that: `is_alone` refuses to go on.
        """
        arguments = ", ".join(f"%({name})s" for name in self.arguments)
        overdue = "cardinality(expired) + cardinality(lapsed) > 0"
        return f"""
            WITH operation AS MATERIALIZED (SELECT * FROM {self.function}({arguments})),
            event AS (
                INSERT INTO {EVENT_COLUMNS}
                SELECT {EVENT_VALUES}, {self.told} FROM operation
                 WHERE is_new AND NOT ({overdue})
            )
            SELECT is_new, expired, lapsed, {", ".join(self.answer)},
                   CASE WHEN {overdue} THEN {self.told} END,
                   CASE WHEN %(is_alone)s AND {overdue}
                        THEN credits_refuse('{OVERDUE}', 'several events are to be recorded') END
              FROM operation
        """  # noqa: S608 - names of ours only

    def columns(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return the row by names; `told` is the data of an event left to the caller."""
        names = ("is_new", "expired", "lapsed", *self.answer, "told")
        return dict(zip(names, row, strict=False))


RESERVE: Final = Operation(
    function="credits_reserve",
    arguments=(
        *("reservation_id", "organization_id", "amount", "subject_type", "subject_id"),
        *("user_id", "expires_in_s", "reference"),
    ),
    answer=("reservation_id", "amount", "expires_at", "available"),
    action="credits.reserved",
    told="%(event_data)s::jsonb",
)
COMMIT: Final = Operation(
    function="credits_commit_reservation",
    arguments=("organization_id", "reservation_id", "actual", "subject_id", "renewal_id"),
    answer=("charged", "refunded", "available", "renewal"),
    action="credits.committed",
    told="""%(event_data)s::jsonb || jsonb_strip_nulls(jsonb_build_object(
        'charged', charged, 'refunded', refunded,
        'renewalId', 'res_' || replace(renewal::text, '-', '')))""",
)
RELEASE: Final = Operation(
    function="credits_release_reservation",
    arguments=("organization_id", "reservation_id", "reason"),
    answer=("released", "available"),
    action="credits.released",
    told="%(event_data)s::jsonb || jsonb_build_object('released', released)",
)


def operate(
    operation: Operation,
    arguments: dict[str, Any],
    *,
    organization_id: uuid.UUID,
    reservation_id: uuid.UUID,
    actor: str,
    data: dict[str, Any],
) -> dict[str, Any]:
    """Do one operation on a reservation and record it; return its answer by names.

    `data` is what the caller adds to the event.

    Raises: the Refusal that the ledger named; IntegrityError where the caller broke a rule that
    no request can. A transaction of the caller's is then good for nothing but a roll-back.
    """
    event = event_values(
        action=operation.action,
        subject_type="reservation",
        subject_id=public_id("res", reservation_id),
        organization_id=organization_id,
        actor=actor,
        data=data,
    )
    bound = {**arguments, **event, "event_data": json.dumps(data)}
    if not connection.in_atomic_block:
        # What Django does before the first statement of a request, and `run` does not.
        connection.close_if_health_check_failed()
        try:
            return _run(operation, bound | {"is_alone": True})
        except IntegrityError as error:
            if constraint_of(error) != OVERDUE:
                raise
    with transaction.atomic(savepoint=False):
        row = _run(operation, bound | {"is_alone": False})
        if row["expired"] or row["lapsed"]:
            record_overdue(organization_id=organization_id, row=row)
            if row["is_new"]:
                told = json.loads(row["told"])
                record_on_reservation(
                    operation.action, reservation_id, organization_id, actor, told
                )
    return row


def run_on_ledger(statement: str, bound: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement that calls the ledger; return its rows.

    Raises: the Refusal that the ledger named; IntegrityError where the caller broke a rule that
    no request can.
    """
    try:
        return run(statement, bound)
    except IntegrityError as error:
        refusal = refusal_for(error)
        if refusal is None:
            raise
        raise refusal from error


def _run(operation: Operation, bound: dict[str, Any]) -> dict[str, Any]:
    (row,) = run_on_ledger(operation.statement, bound)
    return operation.columns(row)
