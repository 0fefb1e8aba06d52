"""Pages of dead letters by place, at a bounded price (D-02)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import FailedJob
from jobs.queues import BUILDS
from jobs.selectors import letter_pages
from jobs.selectors.letter_pages import (
    OLDEST,
    LetterPage,
    Place,
    read_page,
    walk_to,
)
from jobs.selectors.letters import ANY, LetterFilter, matching
from tests.integration.jobs.heaps import answer_letters, make_letters

pytestmark = pytest.mark.django_db


def ids(page: LetterPage) -> list[int]:
    """Numbers of a page's letters."""
    return [letter.pk for letter in page.letters]


def walked(wanted: LetterFilter, limit: int = 3) -> list[int]:
    """Read all pages down, then check that going up shows the same."""
    walk = walk_to(wanted)
    page = read_page(walk, limit=limit)
    assert page.newer is None
    found = ids(page)
    while page.older is not None:
        page = read_page(walk, limit=limit, before=page.older)
        found += ids(page)
    upwards = read_page(walk, limit=limit, after=OLDEST)
    assert upwards.older is None
    back = ids(upwards)
    while upwards.newer is not None:
        upwards = read_page(walk, limit=limit, after=upwards.newer)
        back = ids(upwards) + back
    assert back == found
    return found


@pytest.mark.parametrize("apart_s", [1.0, 0.0])
def test_pages__down_and_up__hold_each_letter_once(apart_s: float) -> None:
    # D-02: also where many died at the same instant.
    numbers = make_letters(10, apart_s=apart_s)
    ordered = list(FailedJob.objects.order_by("-died_at", "-id").values_list("pk", flat=True))

    assert walked(LetterFilter()) == ordered
    assert sorted(ordered) == sorted(numbers)


def test_pages__while_letters_come_and_go__skip_none_and_repeat_none() -> None:
    # D-02: numbered pages would.
    numbers = make_letters(9, days=1.0)
    walk = walk_to(LetterFilter())
    first = read_page(walk, limit=3)

    make_letters(5)
    answer_letters(numbers[:2])

    assert ids(read_page(walk, limit=3, before=first.older)) == numbers[3:6]


@pytest.fixture
def mixed() -> dict[str, list[int]]:
    """Letters of every sort; `wanted` are the ones that the filters below ask for."""
    organization = uuid.uuid4()
    usual = make_letters(12)
    wanted = make_letters(
        4,
        kind="builds.run_build",
        queue=BUILDS,
        organization_id=organization,
        error_class="MemoryError",
        fingerprint="v2-" + "f" * 40,
        message="the build was killed",
        payload='{"customer": "Acme", "number": 7, "urgent": true}',
        days=2.0,
    )
    answered = make_letters(3, state="discarded", kind="builds.run_build")
    return {"usual": usual, "wanted": wanted, "answered": answered, "of": [organization]}  # type: ignore[list-item]


@pytest.mark.parametrize("looked_at", [20_000, 5])
@pytest.mark.parametrize(("sampled", "common", "rare"), [(2_000, 50, 10), (3, 50, 10), (3, 50, 2)])
@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "builds.run_build"},
        {"queue": BUILDS},
        {"error_class": "MemoryError"},
        {"fingerprint": "v2-" + "f" * 40},
        {"fields": (("customer", "Acme"),)},
        {"fields": (("number", "7"), ("urgent", "true"))},
        {"text": "killed build"},
        {"text": "killed", "kind": "builds.run_build", "fields": (("number", "7"),)},
        {"queue": BUILDS, "error_class": "MemoryError"},
        {"died_until": "yesterday"},
        {"died_until": "yesterday", "kind": "builds.run_build"},
    ],
)
def test_pages__of_each_filter__hold_what_matches_however_it_is_found(
    mixed: dict[str, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    sampled: int,
    common: int,
    rare: int,
    looked_at: int,
) -> None:
    # D-02: common in a sample, rare, and neither.
    monkeypatch.setattr(letter_pages, "SAMPLED", sampled)
    monkeypatch.setattr(letter_pages, "COMMON", common)
    monkeypatch.setattr(letter_pages, "RARE", rare)
    monkeypatch.setattr(letter_pages, "LOOKED_AT", looked_at)
    monkeypatch.setattr(letter_pages, "READ", looked_at)
    if "died_until" in asked:
        asked = asked | {"died_until": datetime.now(UTC) - timedelta(days=1)}

    assert walked(LetterFilter(**asked)) == mixed["wanted"]


def test_pages__of_an_organization_and_of_every_state__hold_them(
    mixed: dict[str, Any],
) -> None:
    # D-02
    assert walked(LetterFilter(organization_id=mixed["of"][0])) == mixed["wanted"]
    assert walked(LetterFilter(state="discarded")) == mixed["answered"]
    everything = walked(LetterFilter(state=ANY))
    assert len(everything) == 19
    assert walked(LetterFilter(state=ANY, kind="builds.run_build")) == (
        mixed["answered"] + mixed["wanted"]
    )
    assert walked(LetterFilter(organization_id=uuid.UUID(int=0))) == []


def test_page__that_looked_at_enough__says_so_and_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # D-02
    monkeypatch.setattr(letter_pages, "LOOKED_AT", 4)
    make_letters(10, error_class="OSError")
    wanted = make_letters(1, error_class="OSError", queue=BUILDS, days=1.0)
    walk = walk_to(LetterFilter(error_class="OSError", queue=BUILDS))

    first = read_page(walk, limit=3)
    assert (first.letters, first.is_cut) == ([], True)
    second = read_page(walk, limit=3, before=first.older)
    assert (second.letters, second.is_cut) == ([], True)
    last = read_page(walk, limit=3, before=second.older)

    assert (ids(last), last.older, last.is_cut) == (wanted, None, False)


def test_page__of_anything__asks_few_queries_and_reads_nothing_heavy() -> None:
    # D-02
    make_letters(10)
    wanted = LetterFilter(kind="jobs.probe", fields=(("a", "b"),), text="space")

    with CaptureQueriesContext(connection) as captured:
        read_page(walk_to(wanted), limit=3)

    assert len(captured) <= 8
    assert not any('"traceback"' in query["sql"] for query in captured)
    assert not any('"jobs_failedjob"."payload",' in query["sql"] for query in captured)


def test_count__stops_and_says_that_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    # D-02
    make_letters(6)
    make_letters(2, kind="builds.run_build", queue=BUILDS)
    straight = LetterFilter()
    filtered = LetterFilter(kind="jobs.probe", error_class="OSError")
    searched = LetterFilter(text="space")

    counts = [str(walk_to(wanted).count) for wanted in (straight, filtered, searched)]
    assert counts == ["8", "6", "8"]
    monkeypatch.setattr(letter_pages, "COUNTED", 5)
    monkeypatch.setattr(letter_pages, "SAMPLED", 4)
    monkeypatch.setattr(letter_pages, "COMMON", 3)
    counts = [str(walk_to(wanted).count) for wanted in (straight, filtered, searched)]
    assert counts == ["5+", "3+", "4+"]


@pytest.mark.parametrize("lead", ["kind", "queue", "error_class", "fingerprint", "state"])
def test_walk__by_one_filter__is_led_by_its_index(lead: str) -> None:
    # D-02: read from the plan, with nothing cheaper to do.
    make_letters(50)
    value = getattr(FailedJob.objects.earliest("pk"), lead)
    walk = walk_to(LetterFilter(**{"state": ANY, lead: value}))

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    plan = walk.path.order_by("-died_at", "-id")[:10].explain()

    name = {"error_class": "error"}.get(lead, lead)
    assert walk.is_straight
    assert f"failed_job_{name}_idx" in plan, plan


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"fields": (("number", "7"),)}, "failed_job_payload_idx"),
        ({"text": "killed"}, "failed_job_message_idx"),
    ],
)
def test_search__in_payload_and_message__uses_its_index(asked: Any, index: str) -> None:
    # D-02, D-07
    make_letters(50)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    plan = matching(LetterFilter(state=ANY, **asked)).explain()

    assert index in plan, plan


@pytest.mark.parametrize("text", ["", "x", "1-x", "-", "9" * 30 + "-1", "1--2", "1-2-3", "१-१"])
def test_place__that_is_none__is_none(text: str) -> None:
    assert Place.parse(text) is None


def test_place__written_and_read__is_the_same() -> None:
    place = Place(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), 42)

    assert Place.parse(str(place)) == place
    assert Place.parse(str(OLDEST)) == OLDEST
