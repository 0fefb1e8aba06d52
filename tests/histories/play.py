"""Histories: random steps against the system and against a model, compared after each.

A history is named `<seed>-<number>`, and its name is all that its choices depend on. `SEED=<seed>`
repeats a run, `HISTORY=<name>` one history, told step by step.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from tests.faults.matrix.matrix import seed

STEPS = 50
NOTHING = "nothing"
"""What a rule says that has nothing to do now; another one has its turn."""
TOLD = 12
"""So many of the last steps are told of a history that went wrong."""


class Violation(AssertionError):
    """The system did not do what the model says."""


class History(Protocol):
    """Takes steps: a method for each rule, chosen by its weight."""

    RULES: ClassVar[Mapping[str, int]]

    def check(self) -> None:
        """Compare what can be compared cheaply, after every step."""

    def finish(self) -> None:
        """Compare all that is stored, at the end."""


def names(count: int) -> list[str]:
    """Return the names of the histories to play: HISTORY alone, or as many as asked for."""
    if one := os.environ.get("HISTORY"):
        return [one]
    number = seed()
    print(f"SEED={number}")
    return [f"{number}-{history}" for history in range(count)]


def play(make: Callable[[random.Random], History], count: int) -> Counter[str]:
    """Play histories one after another; return how often each rule came to which outcome.

    Raises: Violation with the name of the history and its last steps.
    """
    outcomes: Counter[str] = Counter()
    for name in names(count):
        outcomes += play_one(make, name)
    return outcomes


def play_one(make: Callable[[random.Random], History], name: str) -> Counter[str]:
    """Play one history. Raises: Violation."""
    chance = random.Random(name)
    history, told = make(chance), list[str]()
    rules, weights = [*history.RULES], [*history.RULES.values()]
    outcomes: Counter[str] = Counter()
    try:
        for number in range(STEPS):
            said = NOTHING
            while said == NOTHING:
                rule = chance.choices(rules, weights)[0]
                told.append(f"{number}. {rule}: did not return")
                said = str(getattr(history, rule)())
                told[-1] = f"{number}. {rule}: {said}"
            if os.environ.get("HISTORY"):
                print(told[-1])
            outcomes[f"{rule} {said.split(maxsplit=1)[0]}"] += 1
            history.check()
        history.finish()
    except Exception as error:
        last = "\n".join(told[-TOLD:])
        raise Violation(f"HISTORY={name}\n{last}\n{type(error).__name__}: {error}") from error
    return outcomes


def expect(found: Any, wanted: Any, what: str) -> None:
    """Raise Violation unless the system says what the model says."""
    if found != wanted:
        raise Violation(f"{what}: {found}, by the model {wanted}")
