"""Lists of jobs: filters, pages, and what a page may cost (W-15, E-10)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.ids import public_id
from jobs.models import Job
from jobs.payloads import Probe
from jobs.selectors import jobs as selector
from jobs.services.enqueue import enqueue
from tests.asserts import assert_refused
from tests.integration.jobs.rows import STATES, make_job

pytestmark = pytest.mark.django_db


def ids(answer: Any) -> list[str]:
    return [item["id"] for item in answer.json()["items"]]


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def test_list__of_many_jobs__pages_newest_first_and_leaves_out_others(api: Any) -> None:
    jobs = [
        enqueue(Probe(note=str(n)), organization_id=api.organization.id, delay_s=60.0)
        for n in range(5)
    ]
    enqueue(Probe(), organization_id=uuid.uuid4())
    enqueue(Probe())
    newest = [public_id("job", job.id) for job in reversed(jobs)]

    first = api.get("/api/jobs?limit=3")
    second = api.get(f"/api/jobs?limit=3&cursor={first.json()['nextCursor']}")

    assert ids(first) + ids(second) == newest
    assert second.json()["nextCursor"] is None
    assert api.get("/api/jobs?limit=5").json()["nextCursor"] is None


def test_list__by_state__takes_one_or_several(api: Any) -> None:
    made = {state: public_id("job", make_job(state, api.organization.id).id) for state in STATES}

    assert ids(api.get("/api/jobs?state=dead")) == [made["dead"]]
    assert set(ids(api.get("/api/jobs?state=dead,running"))) == {made["dead"], made["running"]}
    repeated = ids(api.get("/api/jobs?state=queued&state=running"))
    assert set(repeated) == {made["queued"], made["running"]}
    assert len(ids(api.get("/api/jobs"))) == len(STATES)


def test_list__by_anything_else__finds_exactly_that(api: Any) -> None:
    key = {"dedupeKey": "a key/with &odd=parts"}
    first = api.post("/api/jobs", {"kind": "jobs.probe", "payload": {}} | key)
    made = [first.json()["id"]]
    make_job("dead", api.organization.id, kind="drills.touch", queue="flagship:usage")
    request_id = first.headers["x-request-id"]

    assert ids(api.get(f"/api/jobs?requestId={request_id}")) == made
    assert ids(api.get("/api/jobs?dedupeKey=a%20key%2Fwith%20%26odd%3Dparts")) == made
    assert ids(api.get("/api/jobs?kind=jobs.probe&queue=flagship:maintenance")) == made
    assert ids(api.get("/api/jobs?kind=jobs.probe&queue=flagship:usage")) == []
    assert ids(api.get(f"/api/jobs?requestId={request_id}&state=dead")) == []
    assert len(ids(api.get("/api/jobs?queue=flagship:usage"))) == 1


def test_list__by_time__is_exact_at_both_ends(api: Any) -> None:
    made = [make_job("dead", api.organization.id) for _ in range(3)]
    noon = datetime.now(UTC).replace(microsecond=0)
    for place, job in enumerate(made):
        moment = noon + timedelta(minutes=place)
        Job.objects.filter(id=job.id).update(created_at=moment)
    middle = public_id("job", made[1].id)
    since, until = stamp(noon + timedelta(minutes=1)), stamp(noon + timedelta(minutes=2))

    assert ids(api.get(f"/api/jobs?createdSince={since}&createdUntil={until}")) == [middle]
    assert len(ids(api.get(f"/api/jobs?createdSince={since}"))) == 2
    assert len(ids(api.get(f"/api/jobs?createdUntil={since}"))) == 1
    assert ids(api.get("/api/jobs?createdUntil=1969-01-01T00:00:00Z")) == []
    assert ids(api.get("/api/jobs?createdSince=9999-12-31T00:00:00Z")) == []


@pytest.mark.parametrize(
    "query",
    [
        "state=lost",
        "state=",
        "state=dead,",
        "queue=default",
        "cursor=job_zz",
        "limit=0",
        "limit=101",
        "createdSince=yesterday",
        "createdSince=0001-01-01T00:00:00%2B14:00",
        "kind=%00",
        "organizationId=1",
    ],
)
def test_list__of_what_is_no_filter__is_refused(api: Any, query: str) -> None:
    # E-08
    assert_refused(api.get(f"/api/jobs?{query}"), 422, "VALIDATION_FAILED")


def test_list__of_rare_matches__looks_at_so_many_and_says_where_to_go_on(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # E-10: no page looks at more than a fixed number of jobs.
    monkeypatch.setattr(selector, "LOOKED_AT", 4)
    rare = public_id("job", make_job("dead", api.organization.id).id)
    for _ in range(9):
        make_job("succeeded", api.organization.id)

    pages, cursor = [], ""
    while cursor is not None:
        answer = api.get(f"/api/jobs?state=dead&limit=2{cursor and f'&cursor={cursor}'}")
        pages.append(ids(answer))
        cursor = answer.json()["nextCursor"]

    assert pages == [[], [], [rare]]
    assert ids(api.get("/api/jobs?state=running")) == []
    assert api.get("/api/jobs?state=running").json()["nextCursor"] is None


def test_list__of_a_hundred__costs_as_many_queries_as_one(api: Any) -> None:
    make_job("succeeded", api.organization.id)
    api.get("/api/jobs")  # the key's stamp of last use, once a minute
    with CaptureQueriesContext(connection) as one:
        api.get("/api/jobs")
    for _ in range(20):
        make_job("succeeded", api.organization.id)
    with CaptureQueriesContext(connection) as many:
        api.get("/api/jobs")

    assert len(many) == len(one)
    assert not any("payload" in query["sql"] for query in many if "jobs_job" in query["sql"])
