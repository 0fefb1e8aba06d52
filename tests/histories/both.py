"""Do a thing on the model and on the system, and compare how they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobs.errors import Refusal
from tests.histories.ledger_model import Refused
from tests.histories.play import expect


def both(model: Callable[[], Any], system: Callable[[], Any]) -> tuple[Any, Any]:
    """Return both answers.

    Raises: Refused where both refuse alike; Violation where one does, or they differ.
    """
    try:
        wanted: Any = model()
    except Refused as refused:
        wanted = refused
    try:
        found: Any = system()
    except Refusal as refusal:
        found = refusal
    if not isinstance(wanted, Refused) and not isinstance(found, Refusal):
        return wanted, found
    expect(getattr(found, "code", found), getattr(wanted, "code", wanted), "answer")
    expect({name: found.data.get(name) for name in wanted.data}, wanted.data, wanted.code)
    raise wanted
