"""The table of moves."""

from __future__ import annotations

import pytest

from builds.states import ACTIVE, FINAL, MOVES, BuildState, is_final, valid_next_states


def test_moves__of_the_seed_and_the_one_ruling__are_all_there_is() -> None:
    # B-02
    assert {(before.value, after.value) for before in MOVES for after in MOVES[before]} == {
        ("queued", "building"),
        ("queued", "cancelled"),
        ("queued", "failed"),
        ("building", "deployed"),
        ("building", "failed"),
        ("building", "cancelled"),
    }
    assert set(MOVES) == set(BuildState) == {*ACTIVE, *FINAL}


@pytest.mark.parametrize("state", list(BuildState))
def test_state__final__is_one_without_a_next(state: BuildState) -> None:
    # B-02 B-04
    assert is_final(state.value) == (valid_next_states(state.value) == [])
