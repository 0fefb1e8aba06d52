"""No forgery of a signed request is accepted, and the fuzzer would see one (P22).

The sizes and the seed are those of the run (tests/fuzz/sizes.py).
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flagship.signatures import Presented
from flagship.signatures import canonical as canonical_module
from jobs.models import Job
from tests.clients import ApiCaller
from tests.fuzz import forgeries
from tests.fuzz.sizes import SEED, SIZE
from tests.fuzz.tally import TALLY
from tests.processes import Processes
from tests.races.apis import Apis
from tests.signing import make_signer, prepare


def added(part: str, told: dict[str, Any]) -> None:
    """Add what a test has counted to the tally of the run."""
    TALLY.cases[part] += told["cases"]
    TALLY.forgeries_accepted += told["accepted"]


def test_forgeries__of_signed_requests__are_all_refused() -> None:
    # E-05, E-06, P22
    told = forgeries.run(SIZE.forgeries, SEED)
    added("forgeries", told)

    assert (told["cases"], told["accepted"]) == (SIZE.forgeries, 0), told["examples"]


def test_forgeries__over_http__are_all_refused_and_none_is_an_error(
    live_db: None, issue_key: Any, processes: Processes
) -> None:
    # E-05, P22, P31
    caller: ApiCaller = issue_key()
    apis, signer = Apis(processes, caller.secret), make_signer(caller.api_key)
    apis.start(1)
    port, count = apis.ports[0], SIZE.forged_requests
    told = forgeries.run_http(count, SEED, port=port, key_id=signer.key_id, secret=signer.secret)
    added("forged requests", told)

    assert (told["cases"], told["accepted"], told["errors"]) == (count, 0, 0), told["examples"]
    assert told["refused"] > 0.9 * count, told
    assert Job.objects.count() == 0
    body = {"kind": "jobs.probe", "payload": {"note": "right"}}
    right = prepare(signer, "POST", "/v1/jobs", body, host=f"127.0.0.1:{port}", key="r" * 20)
    taken = httpx.post(
        f"http://127.0.0.1:{port}{right.path}", content=right.body, headers=right.headers
    )
    assert taken.status_code == 202


@pytest.mark.parametrize("header", ["Content-Type", "Idempotency-Key"])
def test_header__beyond_ascii_and_unsigned__is_refused_over_http(
    live_db: None, issue_key: Any, processes: Processes, header: str
) -> None:
    # P22: the server reads such a header as an empty one.
    caller: ApiCaller = issue_key()
    apis, signer = Apis(processes, caller.secret), make_signer(caller.api_key)
    apis.start(1)
    host = f"127.0.0.1:{apis.ports[0]}"
    signed = prepare(signer, "GET", "/v1/jobs", host=host)
    added = [*signed.headers.items(), (header, "é")]

    refused = httpx.get(f"http://{host}{signed.path}", headers=httpx.Headers(added, "utf-8"))
    taken = httpx.get(f"http://{host}{signed.path}", headers=signed.headers)

    assert (refused.status_code, taken.status_code) == (401, 200)


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
