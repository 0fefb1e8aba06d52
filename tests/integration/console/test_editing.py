"""Edit and retry: another payload, checked, compared, and the original kept (D-07)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from flagship.models import AuditEvent
from jobs.models import FailedJob, Job
from tests.integration.console.rows import browser_of, make_letter, make_operator
from tests.integration.console.test_answers import said, untouched

LIST = "/admin/jobs/failedjob/"
PAYLOAD = {"action": "fail", "note": "no space", "steps": 3}


@pytest.fixture
def editor(db: None) -> Client:
    """May see and edit dead letters, not requeue them as they are."""
    return browser_of(make_operator("jobs.view_failedjob", "jobs.edit_failedjob"))


def check(client: Client, letter: FailedJob, payload: Any) -> str:
    """Ask the editor what it thinks of a payload."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    response = client.post(f"{LIST}{letter.pk}/edit/", {"payload": text})
    assert response.status_code == 200
    return response.content.decode()


def send(client: Client, letter: FailedJob, payload: Any) -> Any:
    """Retry with a payload."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return client.post(f"{LIST}{letter.pk}/requeue-edited/", {"payload": text})


def test_editor__opened__shows_the_payload_and_the_fields_of_its_kind(editor: Client) -> None:
    # D-07
    letter = make_letter(payload=PAYLOAD | {"api_token": "t0p"})

    page = editor.get(f"{LIST}{letter.pk}/edit/").content.decode()

    assert "no space" in page and "t0p" not in page
    assert "Progress reports while sleeping." in page
    assert "requeue-edited-form" not in page


def test_check__of_a_good_payload__shows_what_differs_and_changes_nothing(editor: Client) -> None:
    # D-07
    letter = make_letter(payload=PAYLOAD)

    page = check(editor, letter, PAYLOAD | {"action": "succeed"})

    assert "&quot;fail&quot;" in page and "&quot;succeed&quot;" in page
    assert "fits the schema of jobs.probe" in page and "requeue-edited-form" in page
    assert untouched(letter)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (PAYLOAD | {"action": "explode"}, "action"),
        (PAYLOAD | {"unknown": 1}, "unknown"),
        ("{", "This is not JSON"),
        ("[]", "JSON object"),
    ],
)
def test_check__of_a_payload_that_does_not_fit__says_where_and_offers_no_retry(
    editor: Client, payload: Any, told: str
) -> None:
    # D-07
    letter = make_letter(payload=PAYLOAD)

    page = check(editor, letter, payload)

    assert 'id="refused"' in page and told in page
    assert "requeue-edited-form" not in page
    response = send(editor, letter, payload)
    assert "Nothing done" in said(response)
    assert untouched(letter)


def test_check__of_the_same_payload__offers_no_retry(editor: Client) -> None:
    letter = make_letter(payload=PAYLOAD)

    page = check(editor, letter, PAYLOAD)

    assert "Nothing differs" in page and "requeue-edited-form" not in page


def test_retry__with_another_payload__runs_with_it_and_keeps_the_original(editor: Client) -> None:
    # D-07, D-06
    letter = make_letter(payload=PAYLOAD)

    response = send(editor, letter, PAYLOAD | {"action": "succeed"})

    assert "requeued" in said(response)
    letter.refresh_from_db()
    job = Job.objects.get(pk=letter.job_id)
    assert (letter.state, letter.resolved_by, letter.payload) == ("requeued", "user:ana", PAYLOAD)
    assert letter.edited_payload == PAYLOAD | {"action": "succeed"}
    assert (job.state, job.payload) == ("pending", PAYLOAD | {"action": "succeed"})
    event = AuditEvent.objects.get()
    assert (event.action, event.data["changed"]) == ("job.requeued_edited", ["action"])
    assert "succeed" not in json.dumps(event.data)


def test_retry__of_a_payload_that_no_longer_fitted__is_what_it_is_for(editor: Client) -> None:
    # D-07
    letter = make_letter(payload={"action": "explode"})

    send(editor, letter, {"action": "succeed"})

    assert Job.objects.get(pk=letter.job_id).payload == {"action": "succeed"}


def test_retry__sent_twice__applies_once(editor: Client) -> None:
    # D-03
    letter = make_letter(payload=PAYLOAD)

    send(editor, letter, PAYLOAD | {"action": "succeed"})
    response = send(editor, letter, PAYLOAD | {"action": "give_up"})

    assert "already been requeued by user:ana" in said(response)
    assert Job.objects.get(pk=letter.job_id).payload["action"] == "succeed"
    assert AuditEvent.objects.count() == 1


def test_editor__of_an_answered_letter__leads_back_to_it(editor: Client) -> None:
    letter = make_letter(payload=PAYLOAD)
    send(editor, letter, PAYLOAD | {"action": "succeed"})

    response = editor.get(f"{LIST}{letter.pk}/edit/")

    assert response.status_code == 302
    assert "Nothing to edit: the letter has been requeued" in said(response)


def test_edit__with_any_other_permission__is_403(operator: Client) -> None:
    # D-06
    letter = make_letter(payload=PAYLOAD)

    assert operator.get(f"{LIST}{letter.pk}/edit/").status_code == 403
    assert check_status(operator, letter) == 403
    assert send(operator, letter, PAYLOAD | {"action": "succeed"}).status_code == 403
    assert "edit-link" not in operator.get(f"{LIST}{letter.pk}/change/").content.decode()
    assert untouched(letter)


def check_status(client: Client, letter: FailedJob) -> int:
    """The status of a check."""
    return client.post(f"{LIST}{letter.pk}/edit/", {"payload": "{}"}).status_code


def test_edit__of_a_letter_that_is_not_there__is_404(editor: Client) -> None:
    assert editor.get(f"{LIST}999999/edit/").status_code == 404


def test_retry__whose_audit_event_cannot_be_written__rolls_back(
    editor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-06
    letter = make_letter(payload=PAYLOAD)

    def broken(**_: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", broken)
    editor.raise_request_exception = False

    assert send(editor, letter, PAYLOAD | {"action": "succeed"}).status_code == 500
    assert untouched(letter)
    assert Job.objects.get(pk=letter.job_id).payload == PAYLOAD
