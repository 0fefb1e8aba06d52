"""Callers that this process has just looked up, and the transactions that confirm them (ADR 0021).

What is remembered of a caller decides nothing: it says whose transaction to begin and whose
requests to count, and the transaction's first statement says whether it still holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from django.db import Error

from flagship.errors.access import Unauthenticated
from flagship.errors.translate import sqlstate_of
from flagship.selectors.api_keys import Credentials, is_right_key, prefix_of
from flagship.selectors.recent import Recent
from flagship.services.callers import Caller
from jobs.clients.postgres import constraint_of, skip_health_check, written
from jobs.clients.wall import Rows, inside

KEPT_S: Final = 5.0
"""A blocked key may be counted as what it was so long after, for one request to each process."""
UNCHANGED: Final = "flagship_caller_unchanged"

_CONFIRM: Final = "SELECT flagship_confirm_caller(%s, %s, %s)"


@dataclass(slots=True)
class KnownCaller:
    """A caller as it was a moment ago, for one request.

    `is_confirmed`: the request's transaction has found it as it was. `has_failed`: it has not, or
    could not begin; nothing was done then.
    """

    caller: Caller
    confirmation: str = field(repr=False)
    is_confirmed: bool = False
    has_failed: bool = False

    def is_still(self, caller: Caller) -> bool:
        """Tell whether an answer for it, that nothing confirmed, is the answer for `caller`."""
        known, found = self.caller.client, caller.client
        if self.has_failed or known is None or found is None or caller.refusal or caller.use:
            return False
        return (known.api_key_id, known.scopes) == (found.api_key_id, found.scopes)


_recent: Final = Recent[str, tuple[Credentials, str]](KEPT_S)


def remember(*, caller: Caller) -> None:
    """Remember a caller that has proven its API key and does not sign; no other."""
    found = caller.credentials
    if found is None or found.stage is not None or caller.client is None:
        return
    values = (found.api_key_id, found.key_hash, found.scopes)
    _recent.keep(found.prefix, (found, written(_CONFIRM, values)))


def forget(*, known: KnownCaller) -> None:
    """Remember nothing of a caller that is not what it was: no second request is counted for it."""
    if known.caller.credentials:
        _recent.forget(known.caller.credentials.prefix)


def recall(*, bearer: str | None) -> KnownCaller | None:
    """Return who presented this API key a moment ago; None where it has to be looked up."""
    prefix = prefix_of(bearer or "")
    kept = _recent.get(prefix) if prefix else None
    if bearer is None or kept is None or not is_right_key(bearer, kept[0]):
        return None
    found, confirmation = kept
    return KnownCaller(Caller(found.client(), credentials=found), confirmation)


@contextmanager
def inside_as(
    known: KnownCaller | None, organization_id: uuid.UUID, *, first: str = ""
) -> Iterator[Rows]:
    """Make the block a transaction of the caller's organization, as `inside` does.

    One that is only known is confirmed as it begins, in the same round trip and before `first`.
    That is the check of the connection too, which Django would make a trip of its own.
    Raises: Unauthenticated where it is not what it was, and as `inside`; nothing has been done.
    """
    with ExitStack() as stack:
        if known is None or known.is_confirmed:
            yield stack.enter_context(inside(organization_id, first=first))
            return
        skip_health_check()
        together = "; ".join(each for each in (known.confirmation, first) if each)
        try:
            rows = stack.enter_context(inside(organization_id, first=together))
        except Error as error:
            is_changed = constraint_of(error) == UNCHANGED
            # Without a state it is the connection that has died, at its first use perhaps.
            known.has_failed = is_changed or sqlstate_of(error) is None
            if known.has_failed:
                raise Unauthenticated from error
            raise
        known.is_confirmed = True
        yield rows if first else []
