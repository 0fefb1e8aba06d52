"""Retry clicked twice, by two operators and through the API at once: it is done once (D-03)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.test import Client

from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.models import FailedJob, Job
from jobs.selectors.dead_letters import letter_id
from tests.clients import ApiCaller, make_client
from tests.integration.console.rows import browser_of, make_letter, make_operator
from tests.races.racers import Racers
from tests.soak import soaked

ROUNDS = soaked(50)
REQUEUE = ("jobs.view_failedjob", "jobs.requeue_failedjob")

pytestmark = pytest.mark.usefixtures("live_db")


def click(browser: Client, letter: FailedJob) -> str:
    """Press the button; say what the operator is told."""
    response = browser.post(f"/admin/jobs/failedjob/{letter.pk}/requeue/")
    assert response.status_code == 302, response.content
    return "obeyed" if response["Location"].endswith("/jobs/failedjob/") else "told"


def call(api: ApiCaller, letter: FailedJob) -> str:
    """Ask the API; say what the client is told."""
    response: Any = api.post(f"/v1/dead-letters/{letter_id(letter)}/requeue")
    if response.status_code == 200:
        return "obeyed"
    assert response.json()["error"] == "DEAD_LETTER_NOT_OPEN", response.content
    return "told"


def test_retry__by_two_operators_twice_and_the_api_at_once__is_done_once() -> None:
    # D-03, D-05, P13
    ana, bob = make_operator(*REQUEUE, name="ana"), make_operator(*REQUEUE, name="bob")
    browsers = [browser_of(ana), browser_of(ana), browser_of(bob), browser_of(bob)]
    api = make_client()
    firsts: Counter[str] = Counter()
    with Racers(len(browsers) + 1) as racers:
        for _ in range(ROUNDS):
            letter = make_letter(
                runs=1, organization_id=api.organization.id, payload={"action": "succeed"}
            )
            acts = [partial(click, browser, letter) for browser in browsers]

            answers = racers.race([*acts, partial(call, api, letter)])

            assert Counter(answers) == {"obeyed": 1, "told": len(browsers)}, answers
            letter.refresh_from_db()
            assert letter.state == "requeued"
            assert Job.objects.get(id=letter.job_id).state in {"pending", "queued"}
            of_job = AuditEvent.objects.filter(subject_id=public_id("job", letter.job_id))
            [event] = of_job.filter(action="job.requeued")
            assert event.actor == letter.resolved_by
            firsts[event.actor] += 1
    assert len(firsts) >= 2, firsts
