"""The matrix sees: each bug of a list, planted in every process, turns it red."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.matrix.bugs import BUGS
from tests.faults.matrix.matrix import Matrix
from tests.faults.matrix.tally import TALLY
from tests.servers import Servers


@pytest.mark.timeout(900)
def test_matrix__with_each_planted_bug__turns_red(
    django_db_setup: None, servers: Servers, tmp_path: Path
) -> None:
    # P08: a proof must be able to fail.
    with Matrix(ROOT, tmp_path, servers) as matrix:
        shown = matrix.show(BUGS.values())
    TALLY.planted += len(BUGS)
    TALLY.seen += sum(each.planted and bool(each.findings) for each in shown)
    for each in shown:
        print(f"{each.name}: planted {each.planted}, {[str(f) for f in each.findings][:3]}")

    assert {each.name for each in shown if not each.planted} == set()
    assert {each.name for each in shown if not each.findings} == set()
    assert len(shown) >= 12
