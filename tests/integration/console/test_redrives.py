"""Answering everything a filter matches, from the console (D-03, D-06, D-07)."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from typing import Any

import pytest
from django.test import Client

from flagship.models import AuditEvent
from jobs.models import FailedJob, Job, Redrive
from jobs.queues import CONTENT
from tests.integration.console.rows import browser_of, make_letter, make_operator
from tests.integration.console.test_answers import said
from tests.integration.jobs.letters import ask, make_letters

pytestmark = pytest.mark.django_db

ROOT = "/admin/jobs/redrive/"
VIEWS = ("jobs.view_failedjob", "jobs.view_redrive", "jobs.view_job")
MAY = (*VIEWS, "jobs.requeue_failedjob", "jobs.discard_failedjob", "jobs.start_redrive")


@pytest.fixture
def operator() -> Client:
    """May answer everything a filter matches, and end that again."""
    return browser_of(make_operator(*MAY, "jobs.abort_redrive", "jobs.export_failedjob"))


@pytest.fixture
def approver() -> Client:
    """May approve what another has asked for."""
    return browser_of(make_operator(*VIEWS, "jobs.approve_redrive", name="bob"))


def plan(client: Client, query: str = "") -> str:
    """The page of a plan."""
    response = client.get(f"{ROOT}plan/?{query}")
    assert response.status_code == 200, response
    return response.content.decode()


def form_of(page: str) -> dict[str, str]:
    """What the form of a plan sends."""
    fields = re.findall(r"<input[^>]*name=\"(\w+)\"[^>]*?value=\"([^\"]*)\"", page)
    return {name: html.unescape(value) for name, value in fields} | {"reason": "fixed"}


def test_plan__of_a_filter__says_what_would_happen_and_changes_nothing(operator: Client) -> None:
    # D-07
    make_letters(3, queue=CONTENT)
    make_letters(1, queue=CONTENT, payload={"action": "explode"})
    make_letter()

    page = plan(operator, f"queue={CONTENT}&state=open")

    assert "3 of 4 dead letters would be retried" in page
    assert "action: Input should be" in html.unescape(page)
    assert "redrive-form" in page and CONTENT in page
    assert not Redrive.objects.exists() and not AuditEvent.objects.exists()


def test_plan__that_is_sent__begins_a_redrive_of_what_was_seen(operator: Client) -> None:
    # D-03, D-07
    make_letters(3, queue=CONTENT)
    form = form_of(plan(operator, f"queue={CONTENT}"))
    make_letter(queue=CONTENT, kind="jobs.probe")

    first = operator.post(f"{ROOT}start/", form)
    again = operator.post(f"{ROOT}start/", form)

    redrive = Redrive.objects.get()
    assert first["Location"] == again["Location"] == f"{ROOT}{redrive.pk}/change/"
    assert (redrive.state, redrive.size, redrive.queue) == ("running", 4, CONTENT)
    assert (redrive.canary_size, redrive.rate_per_s, redrive.reason) == (3, 10.0, "fixed")
    assert redrive.requested_by == "user:ana"
    assert Job.objects.filter(kind="jobs.run_redrive").count() == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"reason": ""}, "A reason is required"),
        ({"rate_per_s": "0"}, "greater than or equal to 0.1"),
        ({"rate_per_s": "nan"}, "Enter a number"),
        ({"canary_size": "101"}, "less than or equal to 100"),
        ({"wanted": "{}x"}, "the filter cannot be read"),
        ({"wanted": '{"colour": "red"}'}, "the filter cannot be read"),
        ({"wanted": "[1]"}, "the filter cannot be read"),
        ({"wanted": '{"state": ["open"]}'}, "the filter cannot be read"),
        ({"wanted": '{"queue": "\\u0000"}'}, "the filter cannot be read"),
        ({"wanted": '{"fields": [["a", 1]]}'}, "the filter cannot be read"),
        ({"wanted": '{"fields": 7}'}, "the filter cannot be read"),
    ],
)
def test_plan__sent_wrongly__says_so_and_changes_nothing(
    operator: Client, wrong: dict[str, str], told: str
) -> None:
    # D-07
    make_letters(1)

    answer = operator.post(f"{ROOT}start/", form_of(plan(operator)) | wrong, follow=True)

    assert told in html.unescape(answer.content.decode())
    assert not Redrive.objects.exists()


def test_plan__beside_one_that_runs__is_refused_and_kept(operator: Client) -> None:
    # D-07
    make_letters(2)
    ask()

    answer = operator.post(f"{ROOT}start/", form_of(plan(operator)))

    assert answer.status_code == 200
    assert "Another redrive runs over all queues" in answer.content.decode()
    assert Redrive.objects.count() == 1


def test_plan__of_nothing_or_for_a_viewer__has_no_form(operator: Client) -> None:
    # D-06
    viewer = browser_of(make_operator(*VIEWS, name="vic"))

    assert "redrive-form" not in plan(operator, "kind=nothing")
    make_letters(1)
    assert "redrive-form" not in plan(viewer) and "export" not in plan(viewer)
    assert viewer.post(f"{ROOT}start/", form_of(plan(operator))).status_code == 403
    assert not Redrive.objects.exists()


def test_plan__needs_the_permission_of_its_own_answer(db: None) -> None:
    # D-06
    make_letters(1)
    retrier = browser_of(
        make_operator(*VIEWS, "jobs.requeue_failedjob", "jobs.start_redrive", name="rita")
    )
    form = form_of(plan(retrier))

    assert "redrive-form" not in plan(retrier, "answer=discard")
    assert retrier.post(f"{ROOT}start/", form | {"action": "discard"}).status_code == 403
    assert retrier.post(f"{ROOT}start/", form | {"action": "keep"}).status_code == 200
    assert not Redrive.objects.exists()


def test_redrive__above_the_set_size__waits_for_another_person(
    operator: Client, approver: Client, settings: Any
) -> None:
    # D-06, D-07
    settings.REDRIVE_APPROVAL_SIZE = 2
    make_letters(3)
    page = plan(operator)
    assert "it begins when another person approves" in page

    operator.post(f"{ROOT}start/", form_of(page))
    redrive = Redrive.objects.get()
    own = operator.get(f"{ROOT}{redrive.pk}/change/").content.decode()
    others = approver.get(f"{ROOT}{redrive.pk}/change/").content.decode()
    assert "approve-form" not in own and "Another person has to approve" in own
    assert "approve-form" in others
    assert operator.post(f"{ROOT}{redrive.pk}/approve/").status_code == 403
    answer = approver.post(f"{ROOT}{redrive.pk}/approve/")

    assert "Approved: 3" in said(answer)
    redrive.refresh_from_db()
    assert (redrive.state, redrive.approved_by) == ("running", "user:bob")
    assert "Nothing done" in said(approver.post(f"{ROOT}{redrive.pk}/approve/"))


def test_redrive__aborted_from_its_page__is_over(operator: Client) -> None:
    # D-07
    make_letters(2)
    redrive = ask(actor="user:bob")

    assert "abort-form" in operator.get(f"{ROOT}{redrive.pk}/change/").content.decode()
    answer = operator.post(f"{ROOT}{redrive.pk}/abort/", {"reason": "wrong filter"})

    redrive.refresh_from_db()
    assert "Aborted: 0 were answered" in said(answer)
    assert (redrive.state, redrive.ended_by) == ("aborted", "user:ana")
    page = operator.get(f"{ROOT}{redrive.pk}/change/").content.decode()
    assert "abort-form" not in page and "wrong filter" in page and "data-settled" in page


def test_standing__of_a_redrive__is_asked_for_alone_and_in_few_queries(
    operator: Client, django_assert_max_num_queries: Any
) -> None:
    # D-07
    make_letters(4)
    redrive = ask()
    Redrive.objects.filter(pk=redrive.pk).update(
        done=1, refused=1, refusals={"no": 1}, at_died_at=redrive.bound_died_at, at_id=1
    )

    with django_assert_max_num_queries(10):
        page = operator.get(f"{ROOT}{redrive.pk}/standing/").content.decode()

    assert "2 of 4 dead letters" in page and 'value="2"' in page
    assert "<html" not in page and 'data-part="standing"' in page
    assert Client().get(f"{ROOT}{redrive.pk}/standing/").status_code == 302


# --- Export ---


def lines(client: Client, form: str, query: str = "") -> list[str]:
    """What an export holds."""
    response: Any = client.post(f"/admin/jobs/failedjob/export.{form}?{query}")
    assert response.status_code == 200 and response.streaming
    assert response["Content-Disposition"] == f'attachment; filename="dead-letters.{form}"'
    text = b"".join(response.streaming_content).decode()
    return text.splitlines()


def test_export__as_json_lines__is_what_the_filter_matches_with_secrets_masked(
    operator: Client,
) -> None:
    # D-07
    letter = make_letter(queue=CONTENT, payload={"build_id": "b1", "api_token": "t0p"})
    make_letter()

    [line] = lines(operator, "jsonl", f"queue={CONTENT}")

    row = json.loads(line)
    assert (row["id"], row["kind"], row["attempts"]) == (letter.pk, letter.kind, 3)
    assert row["payload"] == {"build_id": "b1", "api_token": "********"}
    assert "traceback" not in row and "t0p" not in line
    event = AuditEvent.objects.get(action="dead_letters.exported")
    assert (event.actor, event.data["filter"]["queue"]) == ("user:ana", CONTENT)


def test_export__as_csv__has_a_header_and_no_formula(operator: Client) -> None:
    # D-07
    make_letter(message='=HYPERLINK("http://evil.example")', error_class="-x", payload={"a": "é"})

    rows = list(csv.DictReader(io.StringIO("\n".join(lines(operator, "csv")))))

    assert [row["message"] for row in rows] == ['\'=HYPERLINK("http://evil.example")']
    assert (rows[0]["errorClass"], json.loads(rows[0]["payload"])) == ("'-x", {"a": "é"})


def test_export__of_many__is_read_in_pages_and_shows_each_once(
    operator: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    # D-07
    monkeypatch.setattr("jobs.selectors.exports.PAGE", 3)
    letters = make_letters(8)
    FailedJob.objects.update(died_at=letters[0].died_at)

    with django_assert_max_num_queries(14):
        rows = [json.loads(line) for line in lines(operator, "jsonl")]

    assert [row["id"] for row in rows] == sorted((letter.pk for letter in letters), reverse=True)


def test_export__without_the_permission_by_get_or_as_another_form__is_refused(
    operator: Client,
) -> None:
    # D-06
    viewer = browser_of(make_operator(*VIEWS, name="vic"))

    assert viewer.post("/admin/jobs/failedjob/export.csv").status_code == 403
    assert operator.get("/admin/jobs/failedjob/export.csv").status_code == 405
    assert operator.post("/admin/jobs/failedjob/export.xml").status_code == 404
    assert not AuditEvent.objects.exists()
