"""The benchmark of the API measures every operation that the schema offers."""

from __future__ import annotations

from bench.api.cases import CASES, STREAMS, unlike_schema


# E-10
def test_cases__of_the_benchmark__are_the_operations_of_the_schema() -> None:
    unlike = unlike_schema()

    assert not unlike["missing"], f"bench/api/cases.py has no case for {unlike['missing']}"
    assert not unlike["stale"], f"bench/api/cases.py has cases of nothing: {unlike['stale']}"
    assert set(STREAMS) == {name for name in CASES if "stream" in name}
