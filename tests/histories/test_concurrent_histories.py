"""Eight clients on one account at once: every answer is what the entries say (P16 to P19)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from credits.services import expire_reservations
from jobs.errors import Refusal
from tests.histories.calls import CLIENTS, OPERATIONS, Account, Client
from tests.histories.play import Violation, names
from tests.histories.witness import problems, read
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import full

COUNT = full(10, 600)


def use(racers: Racers, name: str, *, shorts: bool) -> Account:
    """Let all clients use a new account at once, to the end."""
    account = Account(name, shorts)
    racers.race([Client(account, number).work for number in range(CLIENTS)])
    return account


def use_and_check(count: int) -> Iterator[Account]:
    """Use accounts one after another. Raises: Violation with what is wrong and where."""
    with Racers(CLIENTS) as racers:
        for name in names(count):
            # In every other one nothing runs out, so that every answer is certain.
            account = use(racers, name, shorts=name.endswith(("1", "3", "5", "7", "9")))
            if found := problems(account, read(account)):
                raise Violation(f"HISTORY={name}: {found[:5]}")
            yield account


def test_account__used_by_eight_clients_at_once__answers_as_its_entries_say(live_db: None) -> None:
    # P16 P17 P18 P19 C-01 C-03
    outcomes: Counter[str] = Counter()
    calls = 0

    for account in use_and_check(COUNT):
        heard = [(call.what, call.heard) for call in account.calls]
        outcomes.update(
            f"{what} {answer.code if isinstance(answer, Refusal) else 'done'}"
            for what, answer in heard
        )
        calls += len(heard)

    print(f"histories={COUNT} calls={calls} outcomes={dict(outcomes)}")
    assert calls >= CLIENTS * OPERATIONS
    while expire_reservations():
        pass
    assert_ledger_adds_up()
