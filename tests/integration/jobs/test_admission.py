"""Fifty jobs in flight per organization, and no more (W-10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from flagship.models import IdempotencyRecord
from flagship.services.limits import set_limits
from jobs.models import Job
from jobs.payloads import Probe, RunOnDead
from jobs.services.admission import limit_of, usage_held
from jobs.services.enqueue import enqueue
from jobs.signals import in_flight_max_asked
from tests.asserts import assert_refused
from tests.integration.jobs.rows import STATES, make_job

pytestmark = pytest.mark.django_db

BODY = {"kind": "jobs.probe", "payload": {}}


@pytest.fixture(autouse=True)
def three(settings: Any) -> None:
    """A limit that is soon reached."""
    settings.JOBS_IN_FLIGHT_MAX = 3


def fill(api: Any, count: int = 3) -> None:
    for _ in range(count):
        assert api.post("/api/jobs", BODY).status_code == 202


def test_limit__by_default__is_fifty() -> None:
    from config import settings as configured

    assert configured.JOBS_IN_FLIGHT_MAX == 50


def test_create__at_the_limit__is_refused_with_usage_and_stores_nothing(api: Any) -> None:
    fill(api)

    answer = api.post("/api/jobs", BODY)

    refused = assert_refused(answer, 429, "JOBS_IN_FLIGHT_LIMIT")
    assert refused["data"] == {"limit": 3, "inFlight": 3, "retryAfterS": 60}
    assert answer.headers["Retry-After"] == "60"
    assert Job.objects.count() == 3
    assert IdempotencyRecord.objects.count() == 3


def test_create__after_a_refusal__works_with_the_same_idempotency_key(api: Any) -> None:
    # E-01: a refusal has left nothing behind.
    fill(api)
    key = "retry-this-very-request"
    assert_refused(api.post("/api/jobs", BODY, key=key), 429, "JOBS_IN_FLIGHT_LIMIT")
    Job.objects.filter(id=Job.objects.latest("id").id).update(
        state="cancelled", finished_at=Now(), next_attempt_at=None, published_at=None
    )

    assert api.post("/api/jobs", BODY, key=key).status_code == 202
    replayed = api.post("/api/jobs", BODY, key=key)

    assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (202, "true")
    assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")


def test_create__again_at_the_limit_with_a_known_key__is_the_job_that_is_there(api: Any) -> None:
    once = BODY | {"dedupeKey": "nightly"}
    first = api.post("/api/jobs", once, key="the-first-of-its-kind")
    fill(api, 2)

    again = api.post("/api/jobs", once)
    replayed = api.post("/api/jobs", once, key="the-first-of-its-kind")

    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (replayed.status_code, replayed.content) == (202, first.content)
    other = once | {"payload": {"note": "other"}}
    assert_refused(api.post("/api/jobs", other), 409, "DEDUPE_KEY_IN_USE")
    assert_refused(api.post("/api/jobs", BODY | {"dedupeKey": "x"}), 429, "JOBS_IN_FLIGHT_LIMIT")


def test_create__of_a_payload_that_does_not_fit__is_told_so_at_the_limit_too(api: Any) -> None:
    fill(api)

    answer = api.post("/api/jobs", BODY | {"payload": {"steps": 0}})

    assert_refused(answer, 422, "INVALID_PAYLOAD")


def test_limit__of_one_organization__is_no_other_ones(
    api: Any, issue_key: Callable[..., Any]
) -> None:
    fill(api)

    fill(issue_key())

    assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")


@pytest.mark.parametrize("state", STATES)
def test_limit__counts_exactly_what_has_not_ended(api: Any, state: str) -> None:
    make_job(state, api.organization.id)

    used = usage_held(organization_id=api.organization.id).in_flight

    assert used == (state in ("pending", "queued", "running", "retry_wait"))


def test_limit__counts_no_kind_that_clients_cannot_create(api: Any) -> None:
    for _ in range(5):
        make_job("running", api.organization.id, kind="builds.run_build")
    make_job("running", None)

    fill(api)


def test_internal_jobs__at_the_limit__are_never_refused(api: Any) -> None:
    fill(api)

    enqueue(Probe(), organization_id=api.organization.id)
    owed = RunOnDead(job_id="0" * 32, error_class="E", message="", attempts=1)
    enqueue(owed, organization_id=api.organization.id)

    assert Job.objects.count() == 5
    refused = assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")
    assert refused["data"]["inFlight"] == 4  # a probe counts, whoever made it


@pytest.mark.parametrize(("ended", "wait_s"), [(1, 60), (2, 30), (7, 9), (60, 1), (90, 1)])
def test_retry_after__of_a_busy_organization__is_the_time_between_two_ends(
    api: Any, ended: int, wait_s: int
) -> None:
    made = make_job("succeeded", api.organization.id)
    more = {f.attname: getattr(made, f.attname) for f in Job._meta.fields if f.name != "id"}
    Job.objects.bulk_create([Job(**more) for _ in range(ended - 1)])
    make_job("succeeded", api.organization.id, finished_at=Now() - timedelta(minutes=2))
    fill(api)

    assert api.post("/api/jobs", BODY).headers["Retry-After"] == str(wait_s)


def own_limit(api: Any, most: int | None) -> None:
    limits = {} if most is None else {"jobs_in_flight_max": most}
    set_limits(
        organization_id=api.organization.id, limits=limits, actor="user:ana", reason="a test"
    )


def test_limit__of_its_own__raises_and_lowers_what_an_organization_may(
    api: Any, issue_key: Callable[..., Any]
) -> None:
    # W-10: without a restart, about the very next job
    fill(api)
    own_limit(api, 5)
    fill(api, 2)
    raised = assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")
    own_limit(api, 2)
    lowered = assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")

    assert (raised["data"]["limit"], raised["data"]["inFlight"]) == (5, 5)
    assert (lowered["data"]["limit"], lowered["data"]["inFlight"]) == (2, 5)
    assert Job.objects.filter(finished_at=None).count() == 5  # what was accepted stays
    own_limit(api, None)
    assert assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")["data"][
        "limit"
    ] == (3)
    fill(issue_key())  # nobody else's has changed


def test_limit__of_zero__lets_no_job_in(api: Any) -> None:
    own_limit(api, 0)

    refused = assert_refused(api.post("/api/jobs", BODY), 429, "JOBS_IN_FLIGHT_LIMIT")

    assert refused["data"] == {"limit": 0, "inFlight": 0, "retryAfterS": 60}


def test_limit__asked_of_several_apps__is_the_lowest_number(api: Any) -> None:
    def answer(sender: object, **_: Any) -> int:
        return 1

    own_limit(api, 2)
    in_flight_max_asked.connect(answer)
    try:
        assert limit_of(api.organization.id) == 1
    finally:
        in_flight_max_asked.disconnect(answer)
    assert limit_of(api.organization.id) == 2
