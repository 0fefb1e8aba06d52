"""What the demo builds, and whether it would notice a ledger that is wrong. # O-09"""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from builds.management.demo import DemoFailed
from builds.management.demo.failed import wait_for
from builds.management.demo.ledger import charged_to, check_ledger, resolved_by
from builds.management.demo.sites import EDITIONS, batch_sites

ALL = {"static", "mkdocs", "sphinx", "npm"}


def files_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {entry.name.removeprefix("./"): opened.extractfile(entry) for entry in opened}
        return {name: file.read() for name, file in found.items() if file is not None}


@pytest.mark.parametrize(
    ("builders", "chosen"),
    [
        (ALL, ["static", "sphinx", "npm", "mkdocs", "mkdocs"]),
        (ALL - {"npm"}, ["static", "sphinx", "mkdocs", "mkdocs", "mkdocs"]),
        ({"static", "mkdocs"}, ["static", "mkdocs", "mkdocs", "mkdocs", "mkdocs"]),
    ],
)
def test_batch__with_the_builders_there_are__is_five_sites_with_three_ends(
    builders: set[str], chosen: list[str]
) -> None:
    # B-07
    sites = batch_sites(builders=builders)

    assert [site.builder for site in sites] == chosen
    assert [site.end for site in sites] == [*["deployed"] * 3, "failed", "cancelled"]
    assert all(bool(site.pages) == (site.end == "deployed") for site in sites)
    assert len({site.name for site in sites}) == 5


def test_batch__sites_made_of_real_ones__are_what_they_are_told_to_be() -> None:
    # B-07
    _, docs, plain, themeless, endless = (
        files_of(site.archive) for site in batch_sites(builders={"static", "mkdocs"})
    )

    assert {"mkdocs.yml", "docs/index.md", "docs/credits.md"} <= set(docs)
    assert b"theme: material" in themeless["mkdocs.yml"]
    assert {**themeless, "mkdocs.yml": b""} == {**plain, "mkdocs.yml": b""}
    pages = [name for name in endless if name.endswith("/routing.md")]
    assert len(pages) == EDITIONS + 1
    assert len({endless[name] for name in pages}) == 1


def entry(seq: int, kind: str, moved: int, held: int, after: tuple[int, int]) -> dict[str, Any]:
    return {
        **{"seq": seq, "kind": kind, "balanceDelta": moved, "reservedDelta": held},
        **{"balanceAfter": after[0], "reservedAfter": after[1], "reason": "", "lapsesAt": None},
        "reservationId": "res_1" if held else None,
    }


def ledger() -> list[dict[str, Any]]:
    return [
        entry(0, "open", 0, 0, (0, 0)),
        entry(1, "grant", 50, 0, (50, 0)),
        entry(2, "reserve", 0, 7, (50, 7)),
        entry(3, "commit", -4, -7, (46, 0)),
    ]


def test_ledger__that_adds_up__is_told() -> None:
    # C-04
    told = list(check_ledger({"balance": 46, "reserved": 0}, ledger(), {"res_1"}))

    assert len(told) == 1 + 2 + 1
    assert (charged_to(ledger(), "res_1"), resolved_by(ledger(), "res_1")["seq"]) == (4, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seq": 9}, "is missing"),
        ({"balanceDelta": -3}, "does not follow"),
        ({"reservedAfter": 1}, "does not follow"),
        ({"balanceDelta": -5, "balanceAfter": 45}, "the account says"),
    ],
)
def test_ledger__that_does_not__ends_the_demo(change: dict[str, int], said: str) -> None:
    # C-04: a check must be able to see
    wrong = ledger()
    wrong[-1] |= change

    with pytest.raises(DemoFailed, match=said):
        list(check_ledger({"balance": 46, "reserved": 0}, wrong, set()))


def test_hold__that_nobody_ended__ends_the_demo() -> None:
    # B-06
    with pytest.raises(DemoFailed, match="still holds"):
        resolved_by(ledger()[:-1], "res_1")


def test_waiting__for_what_does_not_come__ends_the_demo() -> None:
    with pytest.raises(DemoFailed, match=r"nothing did not come within 0.2 s"):
        wait_for("nothing", lambda: None, 0.2)
