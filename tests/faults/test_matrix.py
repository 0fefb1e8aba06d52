"""The kill matrix: nothing lost, nothing doubled, whatever strikes wherever."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.matrix.cases import Case
from tests.faults.matrix.matrix import Matrix, choose, every_case, find, seed
from tests.faults.matrix.operations import OPERATIONS
from tests.faults.matrix.tally import TALLY, full
from tests.servers import Servers

# `make faults` strikes every point there is.
POINTS = full(400, 1_000_000)
REPLAY = os.environ.get("FLAGSHIP_REPLAY", "")


@pytest.fixture
def matrix(django_db_setup: None, servers: Servers, tmp_path: Path) -> Iterator[Matrix]:
    """The lanes, started."""
    with Matrix(ROOT, tmp_path, servers) as running:
        yield running


def show(cases: list[Case]) -> str:
    """Say how each case that was found wanting is run again."""
    return "\n".join(
        f"{case}\n  again: python -m tests.faults.matrix --replay '{case.name}'\n{case.log}"
        for case in cases
    )


@pytest.mark.timeout(3000)
def test_jobs__struck_at_every_boundary__are_neither_lost_nor_doubled(matrix: Matrix) -> None:
    # P08, P09, P13
    number = seed()
    print(f"SEED={number}")
    started = time.monotonic()
    explored = matrix.explore(OPERATIONS)
    known = every_case(explored)
    cases = matrix.run(choose(known, POINTS, random.Random(number)))
    struck = Counter(case.fault for case in cases if case.struck)
    missed = [case.name for case in cases if not case.struck]
    TALLY.points += struck.total()
    TALLY.faults.update(struck)
    bad = [case for case in explored + cases if case.findings]
    for case in bad:
        TALLY.find(case.findings)

    print(
        f"{struck.total()} of {len(known)} points in {time.monotonic() - started:.0f} s: {struck}"
    )
    print(f"{len(missed)} were not reached: {missed[:20]}")
    assert not bad, show(bad)
    # What threads do side by side, they do not do alike each time.
    assert struck.total() >= 0.95 * len(cases)


@pytest.mark.skipif(not REPLAY, reason="FLAGSHIP_REPLAY names no case")
def test_replay__of_one_case__tells_what_happened(matrix: Matrix) -> None:
    operation = REPLAY.split(":")[0]
    (explored,) = matrix.explore([operation])
    for each in every_case([explored]):
        print(f"{each.name}  {each.point}")
    case = find(explored, REPLAY)
    matrix.run([case])
    print(f"{case}\nstruck: {case.struck}, exit code: {case.code}\n{case.log}")

    assert not case.findings, show([case])
