"""Say that something is wrong although the transaction that found it is rolled back."""

from __future__ import annotations

import contextvars
import logging
import threading
import uuid
from collections.abc import Callable
from typing import Final

from django.db import connections

from credits.metrics import LATE_COMMITS
from flagship.models import AuditEvent
from flagship.services.audit import record
from jobs.clients.wall import inside
from jobs.ids import public_id

logger = logging.getLogger("credits")

UNPAID: Final = "credits.commit_refused_expired"
# Waited for so that the alert is there when the refusal is; it goes on by itself after that.
WAIT_S: Final = 3.0


def alert_unpaid(
    *, reservation_id: uuid.UUID, organization_id: uuid.UUID, actual_credits: int, actor: str
) -> None:
    """Raise the alert of a late commit that was refused: work was done and is unpaid (C-03).

    A log line and a counter for each refusal; one audit event for each reservation, in a
    transaction of its own, since that of the refusal is rolled back by whoever holds it.
    """
    subject_id = public_id("res", reservation_id)
    LATE_COMMITS.labels("refused").inc()
    logger.error(
        "reservation.commit_refused_expired reservation=%s credits=%d", subject_id, actual_credits
    )

    def record_once() -> None:
        if AuditEvent.objects.filter(
            action=UNPAID, subject_type="reservation", subject_id=subject_id
        ).exists():
            return
        record(
            action=UNPAID,
            subject_type="reservation",
            subject_id=subject_id,
            organization_id=organization_id,
            actor=actor,
            data={"unpaid": actual_credits},
        )

    _do_apart(organization_id, record_once)


def _do_apart(organization_id: uuid.UUID, act: Callable[[], None]) -> None:
    """Run in a thread, hence on a connection and in a transaction of its own, under our trace."""
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run,
        args=(_run, organization_id, act),
        name="credits-alert",
        daemon=True,
    )
    thread.start()
    thread.join(WAIT_S)


def _run(organization_id: uuid.UUID, act: Callable[[], None]) -> None:
    try:
        with inside(organization_id):
            act()
    except Exception:
        # The refusal is answered all the same; this line is what is left of the alert.
        logger.exception("credits.alert_failed")
    finally:
        connections.close_all()
