"""Clients that use one account at the same time, and write down what they heard and when."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connection

from credits.selectors import get_funds
from credits.services import (
    commit_reservation,
    expire_reservations,
    extend_reservation,
    grant_credits,
    release_reservation,
    reserve_credits,
)
from jobs.errors import Refusal
from tests.factories import make_account

CLIENTS: Final = 8
OPERATIONS: Final = 30
FIRST_GRANT: Final = 60
LONG_S: Final = 3600.0


@dataclass(slots=True)
class Call:
    """One call: what was asked, and what was heard from `began` to `ended` (monotonic seconds).

    `heard` is a reply or a Refusal; None where the connection was lost, when it may have been done
    or not. `key` names the entry that it writes, if it writes one.
    """

    client: int
    what: str
    asked: Mapping[str, Any]
    key: tuple[str, Any] | None
    began: float = 0.0
    ended: float = float("inf")
    heard: Any = None


@dataclass(slots=True)
class Account:
    """One account, what its clients know of it, and all their calls.

    With `shorts` some holds run out while they are used.
    """

    name: str
    shorts: bool
    organization: uuid.UUID = field(init=False)
    calls: list[Call] = field(default_factory=list)
    holds: list[tuple[uuid.UUID, int]] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.organization = make_account(credits=0)
        grant = {"amount_credits": FIRST_GRANT, "reference": f"{self.name} first"}
        self.send(Call(-1, "grant", grant, ("grant", grant["reference"])))

    def send(self, call: Call) -> None:
        """Make a call and write down what was heard; anything but an answer is a violation."""
        self.calls.append(call)
        call.began = time.monotonic()
        try:
            call.heard = ACTS[call.what](self.organization, **call.asked)
        except Refusal as refusal:
            call.heard = refusal
        except (OperationalError, InterfaceError) as lost:
            if "deadlock" in str(lost):
                raise
            connection.close()
            return
        call.ended = time.monotonic()
        if call.what == "reserve" and not isinstance(call.heard, Refusal):
            self.holds.append((call.heard.reservation_id, call.heard.amount_credits))


class Client:
    """One of the clients; its choices depend on the account's name and its number alone."""

    def __init__(self, account: Account, number: int) -> None:
        self._account = account
        self._number = number
        self._chance = random.Random(f"{account.name} {number}")
        self._count = 0
        self._last: Call | None = None

    def work(self, operations: int = OPERATIONS) -> None:
        """Make so many calls; what is no answer ends it and is noted."""
        try:
            for _ in range(operations):
                self.step()
        except BaseException as error:
            self._account.broken.append(error)

    def work_until(self, over: threading.Event) -> None:
        """Make calls until it is over, whatever happens to the database."""
        while not over.is_set() and not self._account.broken:
            self.work(1)
            if self._last is not None and self._last.heard is None:
                over.wait(0.05)
        connection.close()

    def step(self) -> None:
        """Make one call, or the last one again; one that was not answered rather again."""
        last = self._last
        is_lost = last is not None and last.heard is None
        if last is not None and self._chance.random() < (0.7 if is_lost else 0.08):
            call = Call(self._number, last.what, last.asked, last.key)
        else:
            what = self._chance.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
            call = getattr(self, f"_{what}")()
        self._last = call
        self._account.send(call)

    def _call(self, what: str, kind: str | None, named: Any, **asked: Any) -> Call:
        return Call(self._number, what, asked, (kind, named) if kind else None)

    def _grant(self) -> Call:
        reference = self._name()
        amount = self._chance.randint(1, 12)
        return self._call("grant", "grant", reference, amount_credits=amount, reference=reference)

    def _reserve(self) -> Call:
        name, lasts_s = self._name(), LONG_S
        if self._account.shorts and self._chance.random() < 0.4:
            lasts_s = self._chance.choice([0.000_001, 0.005, 0.03])
        amount = self._chance.randint(1, 15)
        return self._call(
            "reserve", "reserve", name, amount_credits=amount, subject_id=name, expires_in_s=lasts_s
        )

    def _commit(self) -> Call:
        hold, amount = self._hold()
        actual = self._chance.choice([0, amount, self._chance.randint(0, 2 * amount)])
        return self._call("commit", "commit", hold, reservation_id=hold, actual_credits=actual)

    def _release(self) -> Call:
        hold, _ = self._hold()
        return self._call("release", "release", hold, reservation_id=hold)

    def _extend(self) -> Call:
        hold, _ = self._hold()
        return self._call("extend", None, None, reservation_id=hold, expires_in_s=LONG_S)

    def _sweep(self) -> Call:
        return self._call("sweep", None, None)

    def _look(self) -> Call:
        return self._call("look", None, None)

    def _name(self) -> str:
        self._count += 1
        return f"{self._account.name} {self._number}.{self._count}"

    def _hold(self) -> tuple[uuid.UUID, int]:
        """One of the latest holds, so that clients meet; an unknown one if there is none."""
        latest = self._account.holds[-6:]
        return self._chance.choice(latest) if latest else (uuid.uuid4(), 5)


WEIGHTS: Final[dict[str, int]] = {
    "grant": 3,
    "reserve": 12,
    "commit": 7,
    "release": 5,
    "extend": 1,
    "sweep": 1,
    "look": 2,
}


# Looked up when called, so that a test can put another service in its place.
def _grant(organization: uuid.UUID, **asked: Any) -> Any:
    return grant_credits(organization_id=organization, reason="history", actor="test", **asked)


def _reserve(organization: uuid.UUID, *, subject_id: str, **asked: Any) -> Any:
    return reserve_credits(
        organization_id=organization,
        subject_type="build",
        subject_id=subject_id,
        actor="test",
        reference=subject_id,
        **asked,
    )


def _commit(organization: uuid.UUID, **asked: Any) -> Any:
    return commit_reservation(organization_id=organization, actor="test", **asked)


def _release(organization: uuid.UUID, **asked: Any) -> Any:
    return release_reservation(organization_id=organization, reason="h", actor="test", **asked)


def _extend(organization: uuid.UUID, **asked: Any) -> Any:
    return extend_reservation(**asked)


def _sweep(organization: uuid.UUID) -> Any:
    return expire_reservations(limit=20)


def _look(organization: uuid.UUID) -> Any:
    return get_funds(organization_id=organization)


ACTS: Final[dict[str, Callable[..., Any]]] = {
    "grant": _grant,
    "reserve": _reserve,
    "commit": _commit,
    "release": _release,
    "extend": _extend,
    "sweep": _sweep,
    "look": _look,
}
