"""Dead letters in numbers, and redrives of them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from jobs.ids import new_id
from jobs.models import FailedJob, Redrive
from jobs.selectors.letters import LetterFilter
from jobs.services.redrives import RedriveOrder, start_redrive
from jobs.states import RedriveAction
from tests.integration.console.rows import make_letter

FAST_PER_S = 200.0


def make_letters(count: int, **fields: Any) -> list[FailedJob]:
    """Letters of one cause, a second apart, the oldest first; they live when they run again."""
    fingerprint = fields.pop("fingerprint", uuid.uuid4().hex)
    payload = fields.pop("payload", {"action": "succeed"})
    return [
        make_letter(
            runs=1,
            died_ago=timedelta(seconds=60 + count - number),
            fingerprint=fingerprint,
            payload=payload,
            **fields,
        )
        for number in range(count)
    ]


def ask(wanted: LetterFilter | None = None, *, actor: str = "user:ana", **order: Any) -> Redrive:
    """Ask for a redrive of all that is open, as fast as may be, unless told otherwise."""
    terms: dict[str, Any] = {
        "action": RedriveAction.REQUEUE,
        "reason": "fixed",
        "rate_per_s": FAST_PER_S,
    } | order
    return start_redrive(
        redrive_id=terms.pop("redrive_id", None) or new_id(),
        wanted=wanted or LetterFilter(),
        order=RedriveOrder(**terms),
        actor=actor,
    )
