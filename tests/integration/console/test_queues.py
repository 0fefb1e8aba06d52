"""Queues at the console: seen in numbers, paused and resumed by those who may (W-17, D-06)."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from flagship.models import AuditEvent
from jobs.models import QueuePause
from jobs.queues import AUDIT, CONTENT, QUEUES
from jobs.services.pauses import pause_queue
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said
from tests.integration.jobs.rows import make_job

pytestmark = pytest.mark.django_db
LIST = "/admin/jobs/queuepause/"


@pytest.fixture
def keeper() -> Client:
    """May see queues, pause and resume them."""
    return browser_of(make_operator("jobs.view_queuepause", "jobs.pause_queue"))


@pytest.fixture
def viewer() -> Client:
    """May only look."""
    return browser_of(make_operator("jobs.view_queuepause", name="vic"))


def row_of(client: Client, queue: str) -> str:
    """One queue's row, as it is refreshed."""
    response = client.get(f"{LIST}parts/")
    assert response.status_code == 200
    return response.content.decode().partition(f'data-key="{queue}"')[2].partition("</tr>")[0]


def test_queues__on_their_page__are_all_there_with_their_numbers(viewer: Client) -> None:
    # W-17
    for minutes in (30, 20, 10):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        make_job("pending", queue=CONTENT, next_attempt_at=at)
    make_job("running", queue=CONTENT)

    page = viewer.get(LIST).content.decode()
    row = row_of(viewer, CONTENT)

    assert all(f'data-key="{queue}"' in page for queue in QUEUES)
    assert 'data-label="Waiting">3<' in row and 'data-label="Running">1<' in row
    assert "30 min" in row and "Runs of content in the last hour: 1, failed: 0" in row


def test_queue__paused_at_the_console__is_held_and_audited(keeper: Client) -> None:
    # W-17, D-06
    response = keeper.post(f"{LIST}{CONTENT}/pause/", {"reason": " provider down ", "for_s": "900"})

    pause = QueuePause.objects.get()
    event = AuditEvent.objects.get(action="queue.paused")
    assert response["Location"] == LIST and "is paused until" in said(response)
    assert (pause.queue, pause.paused_by, pause.reason) == (CONTENT, "user:ana", "provider down")
    assert pause.resume_at == pause.paused_at + timedelta(minutes=15)
    assert (event.actor, event.subject_id) == ("user:ana", CONTENT)
    row = row_of(keeper, CONTENT)
    assert "by user:ana" in row and "provider down" in row and f"{CONTENT}/resume/" in row


def test_queue__resumed_at_the_console__goes_on_and_is_audited(keeper: Client) -> None:
    # W-17, D-06
    pause_queue(queue=CONTENT, actor="user:bea", reason="provider down")

    response = keeper.post(f"{LIST}{CONTENT}/resume/")

    assert "is resumed" in said(response) and not QueuePause.objects.exists()
    assert AuditEvent.objects.get(action="queue.resumed").actor == "user:ana"
    assert f"{CONTENT}/pause/" in row_of(keeper, CONTENT)


def test_queue__paused_twice__keeps_the_first_pause_and_says_so(keeper: Client) -> None:
    # W-17
    pause_queue(queue=CONTENT, actor="user:bea", reason="hers")

    response = keeper.post(f"{LIST}{CONTENT}/pause/", {"reason": "mine"})

    assert "Nothing done" in said(response) and "paused already" in said(response)
    assert QueuePause.objects.get().reason == "hers"
    assert "Nothing done" in said(keeper.post(f"{LIST}{AUDIT}/resume/"))


@pytest.mark.parametrize(
    ("queue", "form"),
    [
        (CONTENT, {}),
        (CONTENT, {"reason": "  "}),
        (CONTENT, {"reason": "x" * 501}),
        (CONTENT, {"reason": "why", "for_s": "7"}),
        ("default", {"reason": "why"}),
    ],
)
def test_queue__paused_by_a_form_that_makes_no_sense__is_not(
    keeper: Client, queue: str, form: dict[str, str]
) -> None:
    # D-06
    response = keeper.post(f"{LIST}{queue}/pause/", form)

    assert response.status_code == 302 and "Nothing done" in said(response)
    assert not QueuePause.objects.exists() and not AuditEvent.objects.exists()


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_action__of_somebody_who_may_only_look__is_403_and_not_offered(
    viewer: Client, action: str
) -> None:
    # D-06
    pause_queue(queue=AUDIT, actor="user:bea", reason="hers")
    events = AuditEvent.objects.count()

    response = viewer.post(f"{LIST}{AUDIT}/{action}/", {"reason": "why"})

    assert response.status_code == 403
    assert viewer.get(f"{LIST}{AUDIT}/{action}/").status_code == 405
    assert (QueuePause.objects.get().reason, AuditEvent.objects.count()) == ("hers", events)
    assert "<form" not in row_of(viewer, AUDIT) + row_of(viewer, CONTENT)


def test_action__whose_event_cannot_be_recorded__does_not_happen(
    keeper: Client, monkeypatch: Any
) -> None:
    # D-06: nothing happens unrecorded
    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    with pytest.raises(RuntimeError), transaction.atomic():
        keeper.post(f"{LIST}{CONTENT}/pause/", {"reason": "why"})

    assert not QueuePause.objects.exists()


def test_parts__of_somebody_who_may_not_look__are_403(db: None) -> None:
    # D-06
    nobody = browser_of(make_operator(name="nobody"))

    assert nobody.get(f"{LIST}parts/").status_code == 403


def test_pause__with_a_reason_of_a_stranger__is_shown_as_text(viewer: Client) -> None:
    # D-02
    pause_queue(queue=CONTENT, actor="user:ana", reason="<script>alert(1)</script>")

    row = row_of(viewer, CONTENT)

    assert "<script" not in row and html.escape("<script>alert(1)</script>") in row
