"""Taking dead letters out of the console."""

from __future__ import annotations

from jobs import signals
from jobs.models import FailedJob
from jobs.selectors.letters import LetterFilter, to_json


def record_export(*, wanted: LetterFilter, form: str, actor: str) -> None:
    """Record that somebody takes everything a filter matches, before the first line is sent.

    Raises: ValueError without an actor.
    """
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    told = {"wanted": to_json(wanted), "form": form, "actor": actor}
    signals.letters_exported.send(sender=FailedJob, **told)
