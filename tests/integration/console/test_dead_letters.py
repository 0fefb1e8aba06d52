"""Find and read dead letters (D-01, D-02)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from flagship.services.organizations import create_organization
from jobs.ids import public_id
from jobs.models import FailedJob
from jobs.queues import BUILDS
from tests.integration.console.rows import make_letter

LIST = "/admin/jobs/failedjob/"


def shown(client: Client, query: str = "") -> list[int]:
    """Ids of the listed letters."""
    response: Any = client.get(LIST + query)
    assert response.status_code == 200
    return [letter.pk for letter in response.context["cl"].result_list]


def test_list__opened__shows_open_letters_newest_first(viewer: Client) -> None:
    # D-02
    old = make_letter(died_ago=timedelta(hours=2))
    new = make_letter()
    make_letter(state="discarded", resolved_at=new.died_at, resolved_by="user:x", reason="old")

    assert shown(viewer) == [new.pk, old.pk]
    assert len(shown(viewer, "?state=all")) == 3
    assert len(shown(viewer, "?state=discarded")) == 1


def test_list__by_each_filter__keeps_what_matches(viewer: Client) -> None:
    # D-02
    acme = create_organization(name="Acme Bakery")
    wanted = make_letter(
        kind="builds.run_build",
        queue=BUILDS,
        organization_id=acme.id,
        error_class="builtins.MemoryError",
        died_ago=timedelta(days=8),
    )
    make_letter()

    for query in (
        f"?queue={BUILDS}",
        "?kind=builds.run_build",
        "?error_class=builtins.MemoryError",
        "?organization=acme-bakery",
        "?organization=bakery",
        f"?organization={public_id('org', acme.id)}",
        "?age=over7d",
        f"?died_since={wanted.died_at:%Y-%m-%d}&died_until={wanted.died_at:%Y-%m-%dT23:59:59}",
        f"?fingerprint={wanted.fingerprint}",
        "?state=open&kind=builds.run_build&age=over7d",
    ):
        assert shown(viewer, query) == [wanted.pk], query
    assert shown(viewer, "?organization=nobody") == []
    assert shown(viewer, "?age=over30d") == []


def test_search__by_id_or_text__finds_the_letter(viewer: Client) -> None:
    # D-02
    wanted = make_letter(
        message="certificate of example.org expired",
        fingerprint="f00d" * 8,
        payload={"domain": "example.org", "port": 443, "note": "two words"},
    )
    make_letter()

    for text in (
        public_id("job", wanted.job_id),
        str(wanted.job_id),
        wanted.request_id,
        "f00df00d",
        "example.org",
        "expired certificate",
        "domain=example.org",
        "port=443",
        'note="two words" port=443 expired',
    ):
        assert shown(viewer, f"?q={text}") == [wanted.pk], text
    assert shown(viewer, "?q=nothing-like-it") == []


def test_list__of_many_rows__asks_no_query_per_row(viewer: Client) -> None:
    # D-02
    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert viewer.get(path).status_code == 200
        return len(captured)

    for number in range(3):
        make_letter(organization_id=create_organization(name=f"Few {number}").id)
    queries(LIST)  # The session is stamped.
    few = queries(LIST), queries("/admin/jobs/job/")
    for number in range(20):
        make_letter(organization_id=create_organization(name=f"Many {number}").id)

    assert (queries(LIST), queries("/admin/jobs/job/")) == few
    assert max(few) <= 20


def test_list__of_heavy_rows__leaves_traceback_and_payload_unread(viewer: Client) -> None:
    make_letter()

    with CaptureQueriesContext(connection) as captured:
        viewer.get(LIST)

    rows = [query["sql"] for query in captured if '"jobs_failedjob"."message"' in query["sql"]]
    assert rows
    assert not any('"jobs_failedjob"."traceback"' in sql for sql in rows)
    assert not any('"payload"' in sql for sql in rows)


def test_detail__of_a_letter__shows_what_died_escaped_and_masked(viewer: Client) -> None:
    # D-01
    acme = create_organization(name="Acme")
    letter = make_letter(
        organization_id=acme.id,
        payload={
            "note": "<script>alert(1)</script>",
            "access_token": "t0p",
            "nested": [{"Password": "hunter2"}],
            "long": "x" * 5000,
            "zeta": ["y" * 390 for _ in range(9)],
        },
    )

    page = viewer.get(f"{LIST}{letter.pk}/change/").content.decode()

    assert page.count("No space left on device: &lt;staging&gt;") >= 3
    assert page.count('<details class="fs-fold"') == 3
    assert page.count('<details class="fs-fold" open>') == 1
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "t0p" not in page and "hunter2" not in page
    assert "cut: 2000 of" in page and "(5000 characters)" in page and "x" * 401 not in page
    for text in (
        letter.request_id,
        "nightly-42",
        letter.fingerprint,
        "web-1:4711",
        "1.2 s",
        "Acme",
    ):
        assert text in page, text
    assert f"/admin/flagship/organization/{acme.id}/change/" in page
    assert f"/admin/jobs/job/{letter.job_id}/change/" in page


def test_detail__for_a_viewer__offers_no_answer(viewer: Client, operator: Client) -> None:
    # D-06
    letter = make_letter()

    seen = viewer.get(f"{LIST}{letter.pk}/change/").content.decode()
    offered = operator.get(f"{LIST}{letter.pk}/change/").content.decode()

    assert "requeue-form" not in seen and "discard-form" not in seen
    assert "requeue-form" in offered and "discard-form" in offered
    assert 'value="requeue_selected"' not in viewer.get(LIST).content.decode()
    assert 'value="requeue_selected"' in operator.get(LIST).content.decode()


def test_detail__of_an_answered_letter__says_by_whom_and_offers_nothing(operator: Client) -> None:
    letter = make_letter()
    FailedJob.objects.filter(pk=letter.pk).update(
        state="discarded", resolved_at=letter.died_at, resolved_by="user:eve", reason="known fault"
    )

    page = operator.get(f"{LIST}{letter.pk}/change/").content.decode()

    assert "user:eve" in page and "known fault" in page
    assert "requeue-form" not in page and "discard-form" not in page


def test_count__of_more_rows_than_the_limit__stops_counting(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.base.COUNT_LIMIT", 2)
    monkeypatch.setattr("jobs.selectors.letter_pages.COUNTED", 2)
    for _ in range(3):
        make_letter()

    letters: Any = viewer.get(LIST)
    jobs: Any = viewer.get("/admin/jobs/job/")

    assert "2+ dead letters" in letters.content.decode()
    assert jobs.context["cl"].result_count == 2


def test_sidebar__of_each_operator__lists_what_may_be_viewed(viewer: Client) -> None:
    make_letter()

    page = viewer.get("/admin/").content.decode()

    assert "/admin/jobs/failedjob/" in page and "/admin/jobs/job/" in page
    assert "/admin/credits/account/" not in page
