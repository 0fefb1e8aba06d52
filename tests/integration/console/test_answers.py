"""Requeue and discard from the console (D-03, D-04, D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from flagship.models import AuditEvent
from jobs.models import FailedJob, Job
from tests.integration.console.rows import browser_of, make_letter, make_operator

LIST = "/admin/jobs/failedjob/"


def said(response: Any) -> str:
    """What the operator is told."""
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def untouched(letter: FailedJob) -> bool:
    """Whether nothing has happened to it."""
    letter.refresh_from_db()
    job = Job.objects.get(pk=letter.job_id)
    return (letter.state, job.state, AuditEvent.objects.count()) == ("open", "dead", 0)


def bulk(client: Client, action: str, letters: list[FailedJob], **more: str) -> Any:
    """Send an action for selected rows."""
    data = {"action": action, "index": "0", "select_across": "0", **more}
    return client.post(LIST, data | {"_selected_action": [letter.pk for letter in letters]})


def test_requeue__of_an_open_letter__sends_the_job_back_and_is_audited(operator: Client) -> None:
    # D-03, D-06
    letter = make_letter()

    response = operator.post(f"{LIST}{letter.pk}/requeue/")

    letter.refresh_from_db()
    event = AuditEvent.objects.get()
    assert response.status_code == 302 and response["Location"].startswith(LIST)
    assert "requeued" in said(response)
    assert (letter.state, letter.resolved_by) == ("requeued", "user:ana")
    assert Job.objects.get(pk=letter.job_id).state == "pending"
    assert (event.actor, event.action) == ("user:ana", "job.requeued")


def test_requeue__clicked_twice__applies_once_and_says_so(operator: Client) -> None:
    # D-03
    letter = make_letter()

    operator.post(f"{LIST}{letter.pk}/requeue/")
    response = operator.post(f"{LIST}{letter.pk}/requeue/")

    assert "already been requeued by user:ana" in said(response)
    assert AuditEvent.objects.count() == 1


def test_requeue__keeps_the_filters__the_operator_had_set(operator: Client) -> None:
    letter = make_letter()
    filters = "_changelist_filters=queue%3Dflagship%253Amaintenance"

    response = operator.post(f"{LIST}{letter.pk}/requeue/?{filters}")

    assert response["Location"] == f"{LIST}?queue=flagship%3Amaintenance"


@pytest.mark.parametrize("answer", ["requeue", "discard"])
def test_answer__by_get__is_405_and_changes_nothing(operator: Client, answer: str) -> None:
    # D-06
    letter = make_letter()

    response = operator.get(f"{LIST}{letter.pk}/{answer}/?reason=because")

    assert response.status_code == 405
    assert untouched(letter)


@pytest.mark.parametrize("answer", ["requeue", "discard"])
def test_answer__forged_by_a_viewer__is_403_and_changes_nothing(
    viewer: Client, answer: str
) -> None:
    # D-06
    letter = make_letter()

    one = viewer.post(f"{LIST}{letter.pk}/{answer}/", {"reason": "because"})
    many = bulk(viewer, f"{answer}_selected", [letter], reason="because")

    assert (one.status_code, many.status_code) == (403, 403)
    assert untouched(letter)


@pytest.mark.parametrize(("held", "refused"), [("requeue", "discard"), ("discard", "requeue")])
def test_answer__with_the_other_permission__is_403(db: None, held: str, refused: str) -> None:
    # D-06
    letter = make_letter()
    client = browser_of(make_operator("jobs.view_failedjob", f"jobs.{held}_failedjob"))

    assert client.post(f"{LIST}{letter.pk}/{refused}/", {"reason": "x"}).status_code == 403
    assert bulk(client, f"{refused}_selected", [letter], reason="x").status_code == 403
    assert untouched(letter)


def test_answer__by_a_stranger_or_without_csrf_token__changes_nothing(db: None) -> None:
    # D-06
    letter = make_letter()
    forged = browser_of(
        make_operator("jobs.view_failedjob", "jobs.requeue_failedjob"), enforce_csrf_checks=True
    )

    stranger = Client().post(f"{LIST}{letter.pk}/requeue/")
    response = forged.post(f"{LIST}{letter.pk}/requeue/")

    assert (stranger.status_code, response.status_code) == (302, 403)
    assert stranger["Location"].startswith("/admin/login/")
    assert untouched(letter)


def test_discard__with_a_reason__closes_the_letter_and_is_audited(operator: Client) -> None:
    # D-04, D-06
    letter = make_letter()

    response = operator.post(f"{LIST}{letter.pk}/discard/", {"reason": "  test data "})

    letter.refresh_from_db()
    event = AuditEvent.objects.get()
    assert "discarded" in said(response)
    assert (letter.state, letter.reason, letter.resolved_by) == (
        "discarded",
        "test data",
        "user:ana",
    )
    assert Job.objects.get(pk=letter.job_id).state == "dead"
    assert (event.actor, event.action) == ("user:ana", "job.discarded")
    assert event.data["reason"] == "test data"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_discard__without_a_usable_reason__changes_nothing(operator: Client, reason: str) -> None:
    # D-04
    letter = make_letter()

    response = operator.post(f"{LIST}{letter.pk}/discard/", {"reason": reason})

    assert response["Location"].startswith(f"{LIST}{letter.pk}/change/")
    assert said(response)
    assert untouched(letter)


def test_requeue_selected__of_open_and_answered__says_both_counts(operator: Client) -> None:
    # D-03
    letters = [make_letter() for _ in range(3)]
    operator.post(f"{LIST}{letters[0].pk}/discard/", {"reason": "known"})

    response = bulk(operator, "requeue_selected", letters)

    assert "2 requeued, 1 skipped" in said(response)
    assert "already been discarded by user:ana (1)" in said(response)
    assert FailedJob.objects.filter(state="requeued").count() == 2
    assert AuditEvent.objects.filter(action="job.requeued").count() == 2


def test_requeue_selected__sent_twice__skips_all_the_second_time(operator: Client) -> None:
    # D-03
    letters = [make_letter() for _ in range(2)]

    bulk(operator, "requeue_selected", letters)
    response = bulk(operator, "requeue_selected", letters)

    assert "0 requeued, 2 skipped" in said(response)
    assert AuditEvent.objects.count() == 2


def test_discard_selected__first__asks_for_the_reason_and_changes_nothing(
    operator: Client,
) -> None:
    # D-04
    letters = [make_letter() for _ in range(2)]

    page = bulk(operator, "discard_selected", letters)

    assert page.status_code == 200
    assert "Discard 2 dead letters" in page.content.decode()
    assert all(untouched(letter) for letter in letters)


def test_discard_selected__with_the_reason__discards_what_is_open(operator: Client) -> None:
    # D-04
    letters = [make_letter() for _ in range(3)]
    operator.post(f"{LIST}{letters[0].pk}/requeue/")

    response = bulk(operator, "discard_selected", letters, reason="flood of test data")

    assert "2 discarded, 1 skipped" in said(response)
    assert FailedJob.objects.filter(state="discarded", reason="flood of test data").count() == 2


@pytest.mark.parametrize("across", ["0", "1"])
def test_selection__over_the_limit__is_refused_whole(
    operator: Client, monkeypatch: pytest.MonkeyPatch, across: str
) -> None:
    # D-03
    monkeypatch.setattr("jobs.admin.answering.BULK_LIMIT", 2)
    letters = [make_letter() for _ in range(3)]

    for action in ("requeue_selected", "discard_selected"):
        response = bulk(operator, action, letters, select_across=across, reason="x")
        assert "Nothing done: at most" in said(response)

    assert all(untouched(letter) for letter in letters)


def test_select_across__with_a_filter__answers_what_the_filter_shows(operator: Client) -> None:
    # D-03
    inside = [make_letter(error_class="builtins.MemoryError") for _ in range(2)]
    outside = make_letter()
    data = {"action": "requeue_selected", "index": "0", "select_across": "1"}

    operator.post(
        f"{LIST}?error_class=builtins.MemoryError", data | {"_selected_action": inside[0].pk}
    )

    assert FailedJob.objects.filter(state="requeued").count() == 2
    outside.refresh_from_db()
    assert outside.state == "open"


def test_answer__whose_audit_event_cannot_be_written__rolls_back(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-06
    letter = make_letter()

    def broken(**_: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", broken)
    operator.raise_request_exception = False
    requeued = operator.post(f"{LIST}{letter.pk}/requeue/")
    discarded = operator.post(f"{LIST}{letter.pk}/discard/", {"reason": "x"})

    assert (requeued.status_code, discarded.status_code) == (500, 500)
    assert untouched(letter)


def test_requeue__of_a_payload_that_no_longer_fits__names_the_field(operator: Client) -> None:
    # D-03
    letter = make_letter(payload={"action": "explode"})

    response = operator.post(f"{LIST}{letter.pk}/requeue/")

    assert "action" in said(response)
    assert untouched(letter)


def test_answer__to_a_letter_that_is_not_there__is_said(operator: Client) -> None:
    response = operator.post(f"{LIST}999999/requeue/", follow=True)

    assert "There is no dead letter 999999" in response.content.decode()
