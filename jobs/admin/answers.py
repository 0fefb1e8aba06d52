"""An operator's answers to dead letters: count what was done, and say why the rest was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from jobs.errors import Refusal

BULK_LIMIT: Final = 200
"""Dead letters one bulk action may answer; each is a transaction of its own."""
REASON_CHARACTERS: Final = 500


class ReasonForm(forms.Form):
    """Why a dead letter is discarded; the reason stays on it and in the audit event."""

    reason = forms.CharField(
        max_length=REASON_CHARACTERS,
        strip=True,
        error_messages={"required": "A reason is required to discard."},
    )


@dataclass(slots=True)
class Tally:
    """What became of the rows that were asked for."""

    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def describe(self, verb: str) -> str:
        """Say both counts: `2 requeued, 1 skipped (already requeued: 1)`."""
        text = f"{self.done} {verb}, {self.skipped.total()} skipped"
        reasons = "; ".join(f"{reason} ({rows})" for reason, rows in self.skipped.most_common(5))
        return f"{text}: {reasons}" if reasons else f"{text}."


def answer_each(ids: Iterable[int], answer: Callable[[int], object]) -> Tally:
    """Answer each dead letter in a transaction of its own; a refused one is skipped and counted."""
    tally = Tally()
    for failed_job_id in ids:
        try:
            answer(failed_job_id)
        except Refusal as refusal:
            tally.skipped[refusal.message.rstrip(".")] += 1
        else:
            tally.done += 1
    return tally


def say(request: HttpRequest, tally: Tally, verb: str) -> None:
    """Show the tally to the operator."""
    level = messages.WARNING if tally.skipped else messages.SUCCESS
    messages.add_message(request, level, tally.describe(verb))


def say_too_many(request: HttpRequest) -> None:
    """Refuse a selection over the limit; nothing has been done."""
    messages.error(
        request,
        f"Nothing done: at most {BULK_LIMIT} dead letters can be answered at once. "
        "Narrow the filter or select fewer.",
    )
