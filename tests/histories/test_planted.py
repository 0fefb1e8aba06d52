"""The histories see: each of these bugs turns them red. A proof must be able to fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from builds.models import Build
from builds.services.moves import move
from builds.states import BuildState
from credits.errors import InsufficientCredits
from credits.services import Reserved, reserve_credits
from tests.histories import calls, ledger_steps
from tests.histories.bugs import charge_twice, forget, held_before, rewrite
from tests.histories.builds_steps import BuildHistory
from tests.histories.ledger_steps import LedgerHistory
from tests.histories.play import Violation, play
from tests.histories.test_concurrent_histories import use, use_and_check
from tests.histories.witness import problems, read
from tests.races.racers import Racers

MOST = 60
"""Histories within which a bug has to show."""

REWRITTEN = {
    "overdue holds block": (
        "credits_expire_overdue",
        "expires_at <= p_now",
        "expires_at <= p_now - interval '1 hour'",
    ),
    "the last credit cannot be held": (
        "credits_reserve",
        "credits_free(v_account.id) < p_amount",
        "credits_free(v_account.id) <= p_amount",
    ),
    "another amount under a used reference": (
        "credits_reserve",
        "(v_hold.amount, v_hold.subject_type",
        "(p_amount, v_hold.subject_type",
    ),
    "a commit for something else": (
        "credits_commit_reservation",
        "p_subject <> v_named.subject_id",
        "false",
    ),
    "an expired hold is charged as it is": (
        "credits_commit_reservation",
        "v_hold.state = 'expired' OR v_hold.expires_at <= v_now",
        "v_hold.state = 'expired'",
    ),
    "a release after the expiry": (
        "credits_release_reservation",
        "v_hold.state = 'held' AND v_hold.expires_at <= v_now",
        "false",
    ),
    "a shorter extension counts": (
        "credits_extend_reservation",
        "is_new := ",
        "is_new := true OR ",
    ),
    "lots are burnt whatever their priority": (
        "credits_lots_for",
        "ORDER BY l.priority, l.lapses_at",
        "ORDER BY l.lapses_at",
    ),
    "a charge is given back first burnt first": (
        "credits_lots_for",
        "ORDER BY d.id DESC",
        "ORDER BY d.id",
    ),
    "grants never lapse": (
        "credits_lapse_overdue",
        "lapses_at <= p_now",
        "false",
    ),
    "a grant is taken back although it is held": (
        "credits_reverse",
        "least(v_possible, remaining, credits_free(v_account.id))",
        "least(v_possible, remaining)",
    ),
    "holds may be extended for ever": (
        "credits_extend_reservation",
        "v_wanted > v_ceiling AND v_hold.expires_at >= v_ceiling",
        "false",
    ),
    "the refund is what was charged": (
        "credits_commit_reservation",
        "greatest(v_named.amount - p_actual, 0)",
        "p_actual",
    ),
}


@pytest.mark.parametrize("bug", REWRITTEN)
def test_ledger_histories__with_a_bug_in_the_database__turn_red(
    bug: str, owner_db: psycopg.Connection[Any]
) -> None:
    # P16 P17
    rewrite(owner_db, *REWRITTEN[bug])

    with pytest.raises(Violation, match="HISTORY="):
        play(LedgerHistory, MOST)


@pytest.mark.parametrize(
    ("service", "bug"),
    [
        ("commit_reservation", charge_twice),
        ("release_reservation", forget),
        ("reserve_credits", held_before(reserve_credits)),
    ],
)
def test_all_histories__with_a_bug_in_a_service__turn_red(
    service: str, bug: Callable[..., Any], live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P16 P17 P19
    monkeypatch.setattr(ledger_steps, service, bug)
    monkeypatch.setattr(calls, service, bug)

    with pytest.raises(Violation):
        play(LedgerHistory, MOST)
    with pytest.raises(Violation):
        list(use_and_check(MOST))


def test_concurrent_histories__without_the_lock_on_the_account__turn_red(
    owner_db: psycopg.Connection[Any],
) -> None:
    # P16 P18
    rewrite(owner_db, "credits_lock_account", "FOR NO KEY UPDATE", "")

    with pytest.raises(Violation, match="no answer"):
        list(use_and_check(MOST))


def test_witness__of_a_history_that_was_tampered_with__sees_it(live_db: None) -> None:
    # P16 P17 P18 P19: what the database does not let happen is made up.
    with Racers(calls.CLIENTS) as racers:
        for number in range(10):
            account = use(racers, f"tampered-{number}", shorts=False)
            rows = read(account)
            # Not what was asked twice: there the other call would vouch for the one tampered with.
            asked = Counter(call.key for call in account.calls)
            held = [
                call
                for call in account.calls
                if isinstance(call.heard, Reserved) and asked[call.key] == 1
            ]
            # What clients do at once differs from time to time; there has to be enough of it.
            if len(held) > 2 and any(entry["kind"] == "commit" for entry in rows.entries):
                break
    first, last = held[0], held[-1]

    def found(**changes: Any) -> str:
        """Change what the first client heard, or when; look; change it back."""
        before = {name: getattr(first, name) for name in changes}
        for name, value in changes.items():
            setattr(first, name, value)
        told = problems(account, rows)
        for name, value in before.items():
            setattr(first, name, value)
        return " ".join(told)

    def stored(*entries: Any) -> str:
        return " ".join(problems(account, replace(rows, entries=list(entries))))

    heard, entries = first.heard, rows.entries
    closing = next(entry for entry in entries if entry["kind"] == "commit")
    assert found() == ""
    assert "says" in found(heard=replace(heard, available_credits=heard.available_credits + 1))
    assert "nobody did" in found(key=("reserve", "another"))
    assert "lost" in found(key=("reserve", "another"))
    assert "a later one had ended" in found(began=last.ended + 1, ended=last.ended + 2)
    refusal = InsufficientCredits(required=10_001, available=10_000)
    assert "refused" in found(heard=refusal, key=None)
    again = closing | {"seq": len(entries)}
    assert "done twice" in stored(*entries, again)
    assert "resolves a held reservation" in stored(*entries, again)
    wrong = entries[-1] | {"balance_after": entries[-1]["balance_after"] + 1}
    assert "ends where it says" in stored(*entries[:-1], wrong)
    assert found() == ""


def charge_one(build: Build, to: BuildState, **options: Any) -> None:
    """Move a build, and write down a charge of its own."""
    move(build, to, **options | ({"charged_credits": 1} if "charged_credits" in options else {}))


BUGS_OF_BUILDS = {
    "a fixed charge on the build": ("builds.services.moves.move", charge_one),
    "holds are not given back": ("builds.services.moves.give_back", lambda *_, **__: None),
    "waiting builds are not superseded": (
        "builds.services.submit.supersede_waiting",
        lambda **_: None,
    ),
    "the latest to end is live": ("builds.services.moves.publish_site", lambda build: True),
    "keys are forgotten": ("builds.services.submit.hash_key", lambda key: None),
}


@pytest.mark.parametrize("bug", BUGS_OF_BUILDS)
def test_build_histories__with_a_bug_in_a_service__turn_red(
    bug: str, live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-02 B-03 B-06 P05 P16
    path, planted = BUGS_OF_BUILDS[bug]
    monkeypatch.setattr(path, planted)

    with pytest.raises(Violation, match="HISTORY="):
        play(BuildHistory, MOST)
