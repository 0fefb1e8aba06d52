"""The tables of states agree with each other."""

from __future__ import annotations

from credits.states import RESOLUTIONS, ReservationState


def test_resolutions__every_state_but_held__has_one_entry_kind() -> None:
    # C-03
    assert sorted([*RESOLUTIONS.values(), ReservationState.HELD]) == sorted(ReservationState)
