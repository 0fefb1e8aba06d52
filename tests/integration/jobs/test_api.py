"""The jobs API: org-scoped, catalogued refusals, cancel (W-15)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from jobs.ids import public_id
from jobs.models import Job
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.asserts import assert_refused

pytestmark = pytest.mark.django_db


def test_create__a_probe__is_acknowledged_and_stored_for_the_caller(api: Any) -> None:
    # W-15, O-06
    response = api.post("/api/jobs", {"kind": "jobs.probe", "payload": {"note": "drill"}})

    assert response.status_code == 202
    body = response.json()
    job = Job.objects.get()
    assert body["id"] == public_id("job", job.id)
    assert response.headers["Location"] == f"/api/jobs/{body['id']}"
    assert (body["state"], body["attempts"], body["runs"]) == ("pending", 0, [])
    assert (job.organization_id, job.payload["note"]) == (api.organization.id, "drill")
    assert job.request_id == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"kind": "jobs.probe", "payload": {"sleep_s": -1}}, "INVALID_PAYLOAD", "sleep_s"),
        ({"kind": "jobs.probe", "payload": {"extra": 1}}, "INVALID_PAYLOAD", "extra"),
        ({"kind": "jobs.probe", "payload": {"steps": "2"}}, "INVALID_PAYLOAD", "steps"),
        ({"kind": "jobs.probe", "payload": {"action": "os.system"}}, "INVALID_PAYLOAD", "action"),
        ({"kind": "jobs.run_on_dead", "payload": {}}, "UNKNOWN_JOB_KIND", None),
        ({"kind": "os.system", "payload": {}}, "UNKNOWN_JOB_KIND", None),
        ({"kind": "jobs.probe", "payload": {}, "queue": "x"}, "VALIDATION_FAILED", None),
        ({"kind": "jobs.probe", "payload": [1]}, "VALIDATION_FAILED", None),
        ({"kind": "jobs.probe", "payload": {}, "dedupeKey": 5}, "VALIDATION_FAILED", None),
        ({"payload": {}}, "VALIDATION_FAILED", None),
    ],
)
def test_create__of_what_does_not_fit__is_refused_and_stores_nothing(
    api: Any, body: dict[str, Any], code: str, field: str | None
) -> None:
    # W-03
    refused = assert_refused(api.post("/api/jobs", body), 422, code)

    if field is not None:
        assert refused["data"]["field"] == field
    assert not Job.objects.exists()


def test_create__without_the_scope_of_the_kind__is_forbidden(
    issue_key: Callable[..., Any],
) -> None:
    caller = issue_key(scopes=("jobs:read", "jobs:write"))

    response = caller.post("/api/jobs", {"kind": "jobs.probe", "payload": {}})

    assert_refused(response, 403, "FORBIDDEN")
    assert not Job.objects.exists()


def test_create__twice_with_a_dedupe_key__is_one_job_per_organization(
    api: Any, issue_key: Callable[..., Any]
) -> None:
    body = {"kind": "jobs.probe", "payload": {"note": "once"}, "dedupeKey": "nightly"}

    first, second = api.post("/api/jobs", body), api.post("/api/jobs", body)
    foreign = issue_key().post("/api/jobs", body)

    assert first.json()["id"] == second.json()["id"]
    assert foreign.json()["id"] != first.json()["id"]
    assert Job.objects.count() == 2


def test_create__with_the_dedupe_key_of_another_payload__is_refused(api: Any) -> None:
    body = {"kind": "jobs.probe", "payload": {"note": "a"}, "dedupeKey": "nightly"}
    first = api.post("/api/jobs", body).json()

    refused = api.post("/api/jobs", body | {"payload": {"note": "b"}})

    assert assert_refused(refused, 409, "DEDUPE_KEY_IN_USE")["data"]["jobId"] == first["id"]
    assert Job.objects.count() == 1


def test_list__of_many_jobs__pages_newest_first_and_filters(api: Any) -> None:
    jobs = [
        enqueue(Probe(note=str(n)), organization_id=api.organization.id, delay_s=60.0)
        for n in range(5)
    ]
    enqueue(Probe(), organization_id=uuid.uuid4())
    newest = [public_id("job", job.id) for job in reversed(jobs)]

    first = api.get("/api/jobs?limit=3").json()
    second = api.get(f"/api/jobs?limit=3&cursor={first['nextCursor']}").json()

    assert [item["id"] for item in first["items"] + second["items"]] == newest
    assert second["nextCursor"] is None
    assert len(api.get("/api/jobs?state=pending&kind=jobs.probe").json()["items"]) == 5
    assert api.get("/api/jobs?state=dead").json()["items"] == []
    assert_refused(api.get("/api/jobs?state=lost"), 422, "VALIDATION_FAILED")
    assert_refused(api.get("/api/jobs?cursor=job_zz"), 422, "VALIDATION_FAILED")


def test_show_and_cancel__of_another_organizations_job__find_nothing(
    api: Any, issue_key: Callable[..., Any]
) -> None:
    job = enqueue(Probe(), organization_id=api.organization.id)
    path = f"/api/jobs/{public_id('job', job.id)}"
    foreign = issue_key()

    assert_refused(foreign.get(path), 404, "JOB_NOT_FOUND")
    assert_refused(foreign.delete(path), 404, "JOB_NOT_FOUND")
    assert_refused(api.get("/api/jobs/job_nonsense"), 404, "JOB_NOT_FOUND")
    assert Job.objects.get().state == "pending"
    assert api.get(path).json()["payload"]["action"] == "succeed"


def test_cancel__of_a_waiting_job__ends_it_once(api: Any) -> None:
    job = enqueue(Probe(), organization_id=api.organization.id)
    path = f"/api/jobs/{public_id('job', job.id)}"

    first = api.delete(path)
    second = api.delete(path)

    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    refused = assert_refused(second, 409, "JOB_ALREADY_FINISHED")
    assert refused["data"] == {"state": "cancelled"}
    job.refresh_from_db()
    assert (job.state, job.next_attempt_at) == ("cancelled", None)
