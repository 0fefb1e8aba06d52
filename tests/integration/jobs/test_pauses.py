"""Queues are paused and resumed once each, by somebody, for a reason (W-17, D-06)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from flagship.models import AuditEvent
from jobs.errors import QueueAlreadyPaused, QueueNotFound, QueueNotPaused, ReasonRequired
from jobs.models import QueuePause
from jobs.queues import CONTENT, QUEUES
from jobs.selectors.pauses import paused_query, paused_queues
from jobs.services.pauses import pause_queue, resume_queue
from tests.asserts import assert_refused

pytestmark = pytest.mark.django_db


def hold(**options: Any) -> QueuePause:
    return pause_queue(queue=CONTENT, actor="admin:ann", reason="provider down", **options)


def expire() -> None:
    """Let the pause's time have come."""
    QueuePause.objects.update(
        paused_at=F("paused_at") - timedelta(hours=1), resume_at=F("paused_at")
    )


def test_pause__of_a_queue__is_in_force_until_it_is_ended() -> None:
    pause = hold()

    assert paused_queues() == {CONTENT}
    assert (pause.paused_by, pause.reason, pause.resume_at) == ("admin:ann", "provider down", None)
    resume_queue(queue=CONTENT, actor="admin:bob")
    assert paused_queues() == set()


def test_pause__for_a_time__ends_by_itself_and_gives_way_to_the_next() -> None:
    first = hold(for_s=600)
    assert first.resume_at == first.paused_at + timedelta(minutes=10)
    assert paused_queues() == {CONTENT}

    expire()

    assert paused_queues() == set()
    with pytest.raises(QueueNotPaused):
        resume_queue(queue=CONTENT, actor="admin:bob")
    assert hold().resume_at is None
    assert paused_queues() == {CONTENT}


def test_pause__of_a_paused_queue__leaves_the_first_one_standing() -> None:
    hold(for_s=600)

    with pytest.raises(QueueAlreadyPaused) as refused:
        pause_queue(queue=CONTENT, actor="admin:bob", reason="mine")

    assert refused.value.data["pausedBy"] == "admin:ann"
    assert QueuePause.objects.get().reason == "provider down"


def test_pause_and_resume__of_what_is_not_to_be__are_refused_and_change_nothing() -> None:
    with pytest.raises(QueueNotFound):
        pause_queue(queue="default", actor="a", reason="r")
    with pytest.raises(QueueNotFound):
        resume_queue(queue="default", actor="a")
    with pytest.raises(ReasonRequired):
        pause_queue(queue=CONTENT, actor="a", reason="  ")
    for for_s in (0.0, -1.0, 31 * 24 * 3600.0, float("nan")):
        with pytest.raises(ValueError, match="30 days"):
            hold(for_s=for_s)
    with pytest.raises(ValueError, match="actor"):
        pause_queue(queue=CONTENT, actor="", reason="r")
    with pytest.raises(ValueError, match="actor"):
        resume_queue(queue=CONTENT, actor="")

    assert not QueuePause.objects.exists()
    assert not AuditEvent.objects.filter(subject_type="queue").exists()


def test_pause__by_raw_sql__needs_an_actor_a_reason_and_an_end_after_its_beginning() -> None:
    good = {"queue": CONTENT, "paused_by": "a", "reason": "r", "paused_at": "2026-01-02T00:00Z"}
    for bad in ({"paused_by": ""}, {"reason": ""}, {"resume_at": "2026-01-01T00:00Z"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            QueuePause.objects.create(**good | bad)


def test_pause_and_resume__leave_an_audit_event_each() -> None:
    # D-06
    hold()
    resume_queue(queue=CONTENT, actor="admin:bob")

    events = AuditEvent.objects.filter(subject_type="queue", subject_id=CONTENT).order_by("id")
    assert [(event.action, event.actor) for event in events] == [
        ("queue.paused", "admin:ann"),
        ("queue.resumed", "admin:bob"),
    ]
    assert {event.data["reason"] for event in events} == {"provider down"}


def test_paused_query__on_any_connection__returns_the_names() -> None:
    hold()

    with connection.cursor() as cursor:
        cursor.execute(paused_query())
        assert cursor.fetchall() == [(CONTENT,)]


# --- The API ----------------------------------------------------------------------------------


def test_api__to_a_key_of_an_organization__shows_numbers_and_takes_no_orders(api: Any) -> None:
    hold()
    page = api.get("/api/queues").json()

    assert [item["queue"] for item in page["items"]] == list(QUEUES)
    paused = {item["queue"]: item["isPaused"] for item in page["items"]}
    assert paused == {name: name == CONTENT for name in QUEUES}
    assert not {"reason", "pausedBy"} & page["items"][0].keys()
    refused = api.post(f"/api/queues/{CONTENT}/resume")
    assert assert_refused(refused, 403, "FORBIDDEN")["data"] == {"requiredScope": "queues:manage"}
    assert paused_queues() == {CONTENT}


def test_api__to_an_operators_key__pauses_and_resumes(issue_key: Callable[..., Any]) -> None:
    operator = issue_key(scopes=("queues:read", "queues:manage"))
    pause, resume = f"/api/queues/{CONTENT}/pause", f"/api/queues/{CONTENT}/resume"

    made = operator.post(pause, {"reason": "down", "forS": 600})
    assert (made.status_code, made.json()["isPaused"]) == (200, True)
    assert made.json()["pausedBy"] == f"api_key:{operator.api_key.prefix}"
    again = assert_refused(operator.post(pause, {"reason": "x"}), 409, "QUEUE_ALREADY_PAUSED")
    assert again["data"]["reason"] == "down"
    ended = operator.post(resume)
    assert (ended.status_code, ended.json()["isPaused"]) == (200, False)
    assert_refused(operator.post(resume), 409, "QUEUE_NOT_PAUSED")
    assert_refused(operator.post("/api/queues/default/resume"), 404, "QUEUE_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": 5},
        {"reason": "r", "forS": 0},
        {"reason": "r", "forS": "60"},
        {"reason": "r", "forS": True},
        {"reason": "r", "forS": 10**400},
        {"reason": "r", "until": "x"},
    ],
)
def test_api__of_a_pause_that_does_not_fit__is_refused(
    issue_key: Callable[..., Any], body: dict[str, Any]
) -> None:
    # E-08
    operator = issue_key(scopes=("queues:manage",))

    answer = operator.post(f"/api/queues/{CONTENT}/pause", body)

    assert_refused(answer, 422, "VALIDATION_FAILED")
    assert paused_queues() == set()


# --- The command ------------------------------------------------------------------------------


def told(*arguments: str) -> str:
    out = io.StringIO()
    call_command("queues", *arguments, stdout=out)
    return out.getvalue()


def test_command__pauses_resumes_and_lists() -> None:
    listed = told("pause", CONTENT, "--reason", "provider down", "--actor", "cli:ann")
    line = next(line for line in listed.splitlines() if line.startswith(CONTENT))
    assert "by cli:ann: provider down" in line
    items = {item["queue"]: item for item in json.loads(told("--json"))}
    assert items.keys() == QUEUES.keys()
    assert items[CONTENT]["paused"]["paused_by"] == "cli:ann"
    assert "provider down" not in told("resume", CONTENT)
    assert paused_queues() == set()


@pytest.mark.parametrize(
    "arguments",
    [("pause",), ("resume", CONTENT), ("pause", "default", "--reason", "r"), ("pause", CONTENT)],
)
def test_command__of_what_cannot_be_done__says_so(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        told(*arguments)
    assert paused_queues() == set()
