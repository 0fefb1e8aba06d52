"""No forgery of a signed request is accepted, and the fuzzer would see one (P22)."""

from __future__ import annotations

from typing import Any

import pytest

from flagship.signatures import Presented
from flagship.signatures import canonical as canonical_module
from tests.fuzz import forgeries
from tests.soak import full


def test_forgeries__of_signed_requests__are_all_refused() -> None:
    # P22: 50,000 in every run, 1,000,000 in the soak.
    count = full(50_000, 1_000_000)

    assert forgeries.run(count, seed=20_261_122) == {
        "cases": count,
        "accepted": 0,
        "seed": 20_261_122,
        "examples": [],
    }


def _without(field: str) -> Any:
    """A canonical string that forgot one field of the request."""
    real = canonical_module.canonical_string

    def forgetful(presented: Presented, *, version: str = "v2") -> bytes:
        fixed = {"query": "", "content_type": "", "idempotency_key": "", "path": "/x"}
        fixed |= {"host": "x", "method": "GET", "content_sha256": "0" * 64}
        real(presented, version=version)
        values = {name: getattr(presented, name) for name in forgeries.FIELDS}
        return real(Presented(**{**values, field: fixed[field]}), version=version)

    return forgetful


@pytest.mark.parametrize(
    "field", ["method", "host", "path", "query", "content_type", "idempotency_key"]
)
def test_forgeries__against_a_signer_that_forgets_a_field__are_seen(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P22: a proof must be able to see.
    for module in ("flagship.signatures.verify", "tests.fuzz.forgeries"):
        monkeypatch.setattr(f"{module}.canonical_string", _without(field))

    assert forgeries.run(4_000, seed=7)["accepted"] > 0


def test_forgeries__against_a_body_that_nobody_compares__are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P22
    monkeypatch.setattr(forgeries, "body_holds", lambda *_: True)

    assert forgeries.run(4_000, seed=7)["accepted"] > 0


def test_forgeries__against_a_sorted_query_without_order__are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P22: values of one name swapped would be another request under the same signature.
    def naive(query: str) -> str:
        return "&".join(sorted(query.split("&")))

    monkeypatch.setattr(canonical_module, "canonical_query", naive)

    assert forgeries.run(20_000, seed=7)["accepted"] > 0
