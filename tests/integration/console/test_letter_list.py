"""The list of dead letters: pages, searches, and what is said of both (D-02)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from flagship.services.organizations import create_organization
from jobs.admin.filters import UnclearFilter, letter_filter_of
from jobs.ids import public_id
from jobs.models import FailedJob
from jobs.selectors.letters import LetterFilter, from_json, matching, to_json
from tests.integration.console.rows import make_letter
from tests.integration.jobs.heaps import answer_letters, make_letters

LIST = "/admin/jobs/failedjob/"


def page_of(client: Client, query: str = "") -> Any:
    """Open the list."""
    response: Any = client.get(LIST + query)
    assert response.status_code == 200
    return response


def shown(response: Any) -> list[int]:
    """Ids of the listed letters."""
    return [letter.pk for letter in response.context["cl"].result_list]


def link(response: Any, title: str) -> str:
    """The address behind one of the links between pages; empty when there is none."""
    return str(dict(response.context["cl"].places).get(title, ""))


def test_pages__by_their_links__hold_every_letter_and_keep_the_filter(viewer: Client) -> None:
    # D-02
    numbers = make_letters(120)
    answer_letters(numbers[:3])
    query = "?kind=jobs.probe"

    first = page_of(viewer, query)
    second = page_of(viewer, link(first, "Older"))
    last = page_of(viewer, link(second, "Older"))

    assert shown(first) + shown(second) + shown(last) == numbers[3:]
    assert (link(first, "Newer"), link(last, "Older")) == ("", "")
    assert shown(page_of(viewer, link(last, "Newer"))) == shown(second)
    assert shown(page_of(viewer, link(first, "Oldest"))) == numbers[-50:]
    assert shown(page_of(viewer, link(last, "Newest"))) == shown(first)
    assert all("kind=jobs.probe" in address for _, address in second.context["cl"].places)
    assert "117 dead letters" in first.content.decode()


def test_new_search__from_a_later_page__begins_at_the_newest(viewer: Client) -> None:
    make_letters(60)
    second = page_of(viewer, link(page_of(viewer), "Older"))

    assert 'name="before"' not in second.content.decode()
    assert "before%3D" in second.context["preserved_filters"]


@pytest.mark.parametrize("query", ["?before=x", "?after=9", "?before=1-1&after=2-2&state=all"])
def test_place__that_is_none__shows_a_page_all_the_same(viewer: Client, query: str) -> None:
    make_letter()

    page_of(viewer, query)


def test_page__that_looked_at_enough__says_how_to_go_on(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-02
    monkeypatch.setattr("jobs.selectors.letter_pages.LOOKED_AT", 5)
    monkeypatch.setattr("jobs.selectors.letter_pages.COUNTED", 5)
    make_letters(20)

    response = page_of(viewer, "?kind=jobs.probe&queue=flagship:audit")

    text = response.content.decode()
    assert "dead letters were looked at for this page, and none of them matches" in text
    assert link(response, "Older")
    assert "0+ dead letters" in text


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?q=api_token%3Dt0p", "api_token looks secret"),
        ("?died_since=tomorrow", "“tomorrow” is no time"),
        ("?organization=bakery", "“bakery” may be 2 organizations: North Bakery, South Bakery"),
        ("?q=v2-111111", "Several fingerprints begin with v2-111111"),
    ],
)
def test_question__that_cannot_be_meant__is_answered_in_words(
    viewer: Client, query: str, told: str
) -> None:
    # D-02: never with a list of something else.
    create_organization(name="North Bakery")
    create_organization(name="South Bakery")
    make_letter(fingerprint="v2-" + "1" * 39 + "a")
    make_letter(fingerprint="v2-" + "1" * 39 + "b")

    response = page_of(viewer, query)

    assert told in response.content.decode()
    assert shown(response) == []


def test_filter__read_from_the_query__is_what_the_list_shows(viewer: Client) -> None:
    # D-03: an action on all that matches takes what is seen.
    acme = create_organization(name="Acme Bakery")
    create_organization(name="Acme Bakery and Sons")
    make_letter(organization_id=acme.id, payload={"port": 443}, died_ago=timedelta(hours=2))
    make_letter(organization_id=acme.id, payload={"port": 80})
    query = {
        "organization": "acme bakery",
        "q": "port=443 device",
        "age": "1d",
        "state": "all",
        "queue": "flagship:maintenance",
        "before": "1-1",
    }

    wanted = letter_filter_of(RequestFactory().get(LIST, query))
    del query["before"]

    assert wanted.organization_id == acme.id
    assert (wanted.fields, wanted.text, wanted.state) == ((("port", "443"),), "device", "")
    assert wanted.died_since is not None
    assert abs(datetime.now(UTC) - timedelta(days=1) - wanted.died_since) < timedelta(minutes=1)
    response: Any = viewer.get(LIST, query)
    assert shown(response) == list(matching(wanted).values_list("pk", flat=True))
    assert len(shown(response)) == 1
    assert from_json(to_json(wanted)) == wanted


def test_filter__of_nothing__is_every_open_letter() -> None:
    assert letter_filter_of(RequestFactory().get(LIST)) == LetterFilter()


def test_filter__of_one_job__is_refused_for_many(db: None) -> None:
    # D-03
    letter = make_letter()

    for text in (public_id("job", letter.job_id), letter.request_id, str(letter.job_id)):
        with pytest.raises(UnclearFilter, match="one job"):
            letter_filter_of(RequestFactory().get(LIST, {"q": text}))


def test_filter__of_a_name_that_nobody_has__matches_nothing(db: None) -> None:
    # D-03: and not everything.
    make_letter()

    wanted = letter_filter_of(RequestFactory().get(LIST, {"organization": "nobody"}))

    assert not matching(wanted).exists()


def test_filter__of_what_cannot_be_stored__finds_nothing(viewer: Client) -> None:
    # E-08
    make_letter()

    for name in ("kind", "queue", "organization", "error_class", "fingerprint"):
        assert shown(page_of(viewer, f"?{name}=%00x")) == [], name
    page_of(viewer, "?q=%00")


def test_search__of_a_job_whose_letter_is_gone__leads_to_the_deleted_ones(viewer: Client) -> None:
    # D-04
    text = page_of(viewer, f"?q=job_{'a' * 32}").content.decode()

    assert f"/admin/jobs/lettertombstone/?q=job_{'a' * 32}" in text


def test_choices__of_kind_and_error__are_those_of_all_groups_with_what_is_open(
    viewer: Client,
) -> None:
    # D-02
    make_letters(3, kind="builds.run_build", fingerprint="v2-" + "b" * 40, error_class="KeyError")
    answer_letters(make_letters(2, kind="jobs.probe"))

    text = page_of(viewer).content.decode()

    assert "builds.run_build (3 open)" in text and "jobs.probe (0 open)" in text
    assert "KeyError (3 open)" in text


def test_list__of_any_length__asks_the_same_queries(viewer: Client) -> None:
    # D-02
    def queries(query: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            page_of(viewer, query)
        return len(captured)

    asked = (
        *("", "?after=0-0", "?state=all&kind=jobs.probe", "?q=device", "?q=note%3Dx"),
        *("?organization=acme", "?q=req_nothing"),
    )
    make_letter()
    queries("")  # The session is stamped.
    few = [queries(query) for query in asked]
    make_letters(200)

    many = [queries(query) for query in asked]

    assert all(after <= before + 1 for before, after in zip(few, many, strict=True)), (few, many)
    assert max(many) <= 20


def test_letter__with_edited_payload__shows_both(operator: Client) -> None:
    # D-07
    letter = make_letter(payload={"action": "fail", "note": "no space"})
    FailedJob.objects.filter(pk=letter.pk).update(
        state="requeued",
        resolved_at=letter.died_at,
        resolved_by="user:eve",
        edited_payload={"action": "succeed", "note": "no space"},
    )

    page = operator.get(f"{LIST}{letter.pk}/change/").content.decode()

    assert "Sent back with another payload" in page
    assert "&quot;succeed&quot;" in page and "&quot;fail&quot;" in page


def test_letter__on_its_page__tells_its_story(operator: Client) -> None:
    # D-07: enqueued, waited, its cause, its other deaths.
    first = make_letter(fingerprint="v2-" + "c" * 40)
    FailedJob.objects.filter(pk=first.pk).update(
        state="requeued", resolved_at=first.died_at, resolved_by="user:eve"
    )
    second = FailedJob.objects.get(pk=first.pk)
    second.pk, second.state, second.resolved_by, second.resolved_at = None, "open", "", None
    second.save(force_insert=True)

    page = operator.get(f"{LIST}{second.pk}/change/").content.decode()

    assert "enqueued" in page and "Other deaths of this job" in page and "user:eve" in page
    assert "2 deaths since" in page and "1 open" in page
    assert "Nobody has acknowledged it" in page
    assert f"/admin/flagship/auditevent/?q={public_id('job', second.job_id)}" in page


def test_list__of_many_rows__renders_what_they_share_once(operator: Client) -> None:
    # D-02: the theme would render the box above the rows for each of them, and each of theirs.
    for _ in range(10):
        make_letter(runs=1)

    page = page_of(operator)

    boxes = [each.name for each in page.templates if each.name.endswith("checkbox.html")]
    assert len(boxes) <= 2
    chosen = re.findall(
        r'<input type="checkbox" name="_selected_action" value="(\d+)"', page.content.decode()
    )
    assert {int(value) for value in chosen} == {*FailedJob.objects.values_list("pk", flat=True)}
