"""Nonsense of three kinds over HTTP: nothing fails, nothing answers what is not documented.

The sizes and the seed are those of the run (tests/fuzz/sizes.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from flagship.api.documents import schema_json
from tests.fuzz.document import Document, read_document
from tests.fuzz.ground import Ground, make_ground
from tests.fuzz.mutations import make_request
from tests.fuzz.raw import dice_of, run_raw
from tests.fuzz.schemas import one_round, run_schemathesis
from tests.fuzz.sizes import SEED, SIZE, SIZE_NAME
from tests.fuzz.tally import TALLY, Tally
from tests.processes import Processes

PLANTED = {"DJANGO_SETTINGS_MODULE": "tests.fuzz.planted"}


@pytest.fixture
def ground(live_db: None, processes: Processes) -> Ground:
    return make_ground(processes, interfaces=("wsgi", "asginl"))


@pytest.fixture(scope="module")
def document() -> Document:
    return read_document(schema_json())


def added(tally: Tally) -> None:
    """Add what a test has counted to the tally of the run."""
    TALLY.cases += tally.cases
    TALLY.statuses += tally.statuses
    for name in ("operations", "reached", "succeeded"):
        getattr(TALLY, name).update(getattr(tally, name))
    TALLY.server_errors += tally.server_errors
    TALLY.undocumented += tally.undocumented


def logged_failures(ground: Ground) -> list[str]:
    """Return the lines in which a server says that it failed."""
    lines = "\n".join(each.output() for each in ground.running).splitlines()
    return [line for line in lines if "request.failed" in line or "panicked" in line]


def assert_faultless(tally: Tally, ground: Ground) -> None:
    print(tally.to_json(SEED, 0), dict(sorted(tally.statuses.items())))
    print(*tally.faults(), *logged_failures(ground), sep="\n")
    assert (len(tally.server_errors), len(tally.undocumented)) == (0, 0)
    assert logged_failures(ground) == []


def test_operations__by_schemathesis_in_all_phases__answer_what_is_documented(
    ground: Ground, document: Document, tmp_path: Path
) -> None:
    # E-08, E-09, P31
    tally = Tally(operations={each.name for each in document.operations})
    run_schemathesis(
        ground=ground,
        document=document,
        tally=tally,
        seed=SEED,
        cases=SIZE.schema,
        directory=tmp_path,
    )
    added(tally)

    assert_faultless(tally, ground)
    assert tally.cases["schema"] >= SIZE.schema
    assert tally.operations - tally.reached == set()


def test_requests__raw_and_spoiled__are_never_a_server_error(
    ground: Ground, document: Document
) -> None:
    # E-02, E-08, P31
    tally = Tally(operations={each.name for each in document.operations})
    run_raw(ground=ground, document=document, tally=tally, seed=SEED, numbers=range(SIZE.raw))
    added(tally)

    assert_faultless(tally, ground)
    assert len(tally.statuses) >= 10, tally.statuses
    if SIZE_NAME != "suite":
        assert tally.operations - tally.reached == set()


@pytest.mark.skipif("FLAGSHIP_CASE" not in os.environ, reason="python -m tests.fuzz --case n")
def test_one_raw_request__of_an_earlier_run__tells_what_is_answered(
    ground: Ground, document: Document
) -> None:
    number, tally = int(os.environ["FLAGSHIP_CASE"]), Tally()
    run_raw(ground=ground, document=document, tally=tally, seed=SEED, numbers=[number])
    print(tally.statuses, tally.faults(), *(each.output() for each in ground.running), sep="\n")
    assert not tally.faults()


def test_faults__planted_in_an_api__are_seen_by_both(
    live_db: None, processes: Processes, tmp_path: Path
) -> None:
    # A proof must be able to see.
    ground = make_ground(processes, interfaces=("wsgi",), **PLANTED)
    ground.ports["asginl"] = ground.ports["wsgi"]
    document = read_document(httpx.get(f"{ground.base_url()}/v1/schema").content)
    schema, raw = Tally(), Tally()

    one_round(ground, document, schema, seed=1, examples=25, directory=tmp_path / "round")
    run_raw(ground=ground, document=document, tally=raw, seed=1, numbers=range(600))

    for tally in (schema, raw):
        assert any("500" in each for each in tally.server_errors)
        assert any("203" in each for each in tally.undocumented)
    assert logged_failures(ground)


def test_request__of_a_seed_and_a_number__is_the_same_again(document: Document) -> None:
    from tests.fuzz.drafts import World

    world = World(document, {"job_id": ["job_" + "0" * 32]}, "fs_x_y", [b"PK"])
    made = [make_request(dice_of(7, number), world).to_bytes() for number in range(200)]
    again = [make_request(dice_of(7, number), world).to_bytes() for number in range(200)]

    assert made == again
    assert len(set(made)) > 190
