"""The jobs API: org-scoped, catalogued refusals, cancel (W-15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.models import Job
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.asserts import assert_refused
from tests.integration.jobs.rows import make_job

pytestmark = pytest.mark.django_db


def path_of(job: Job) -> str:
    return f"/api/jobs/{public_id('job', job.id)}"


def test_create__a_probe__is_acknowledged_and_stored_for_the_caller(api: Any) -> None:
    # W-15, O-06
    response = api.post("/api/jobs", {"kind": "jobs.probe", "payload": {"note": "drill"}})

    assert response.status_code == 202
    body = response.json()
    job = Job.objects.get()
    assert body["id"] == public_id("job", job.id)
    assert response.headers["Location"] == f"/v1/jobs/{body['id']}"
    assert (body["state"], body["attempts"], body["runs"]) == (job.state, 0, [])
    assert job.state in ("pending", "queued")
    assert (job.organization_id, job.payload["note"]) == (api.organization.id, "drill")
    assert job.request_id == response.headers["x-request-id"] == body["requestId"]


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

    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json() == second.json()
    assert first.json()["dedupeKey"] == "nightly"
    assert foreign.json()["id"] != first.json()["id"]
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"note": "b", "steps": 2}, ["payload.note", "payload.steps"]),
        ({"note": "a", "sleep_s": 1.5}, ["payload.sleep_s"]),
    ],
)
def test_create__with_the_dedupe_key_of_another_payload__says_which_job_and_what_differs(
    api: Any, other: dict[str, Any], differs: list[str]
) -> None:
    body = {"kind": "jobs.probe", "payload": {"note": "a"}, "dedupeKey": "nightly"}
    first = api.post("/api/jobs", body).json()

    refused = assert_refused(
        api.post("/api/jobs", body | {"payload": other}), 409, "DEDUPE_KEY_IN_USE"
    )

    told = refused["data"]
    assert (told["jobId"], told["kind"], told["state"]) == (
        first["id"],
        "jobs.probe",
        first["state"],
    )
    assert told["differs"] == differs
    assert Job.objects.count() == 1


def test_create__with_the_dedupe_key_of_another_kind__says_so(api: Any) -> None:
    key = f"client:{api.organization.id.hex}:nightly"
    make_job("succeeded", api.organization.id, kind="drills.touch", dedupe_key=key)
    body = {"kind": "jobs.probe", "payload": {}, "dedupeKey": "nightly"}

    told = assert_refused(api.post("/api/jobs", body), 409, "DEDUPE_KEY_IN_USE")["data"]

    assert (told["kind"], told["state"], told["differs"]) == (
        "drills.touch",
        "succeeded",
        ["kind"],
    )


def test_kinds__offered__have_schemas_that_say_what_enqueue_checks(api: Any) -> None:
    # W-03: the schemas are exported
    items = api.get("/api/jobs/kinds").json()["items"]

    probe = next(item for item in items if item["kind"] == "jobs.probe")
    assert (probe["version"], probe["queue"], probe["requiredScope"]) == (
        1,
        "flagship:maintenance",
        "jobs:probe",
    )
    assert probe["schema"]["additionalProperties"] is False
    assert probe["schema"]["properties"]["sleep_s"]["maximum"] == 3600
    assert probe["schema"]["$id"] == "urn:flagship:jobs.probe:v1"
    assert "jobs.run_on_dead" not in {item["kind"] for item in items}


def test_show__while_it_waits_for_its_next_try__tells_when_and_why(api: Any) -> None:
    # W-05, W-15
    why = {"error_class": "RuntimeError", "message": "no"}
    job = make_job("retry_wait", api.organization.id, why, failures=1, backoff_s=[60.0, 300.0])

    body = api.get(path_of(job)).json()

    assert (body["failures"], body["maxAttempts"]) == (1, 3)
    assert body["nextAttemptAt"] == body["runs"][0]["retryAt"] is not None
    told = {name: body["runs"][0][name] for name in ("outcome", "worker", "durationMs")}
    assert told == {"outcome": "failed", "worker": "worker-1", "durationMs": 2000}
    assert (body["runs"][0]["errorClass"], body["runs"][0]["message"]) == ("RuntimeError", "no")


def test_show__of_a_running_job__has_its_progress_and_an_open_run(api: Any) -> None:
    job = make_job("running", api.organization.id, progress={"step": 1, "steps": 4})

    body = api.get(path_of(job)).json()

    assert body["progress"] == {"step": 1, "steps": 4}
    assert body["result"] is body["nextAttemptAt"] is None
    assert [(run["outcome"], run["durationMs"]) for run in body["runs"]] == [("running", None)]


def test_show__to_a_poller_that_knows_it__is_304_until_something_changes(api: Any) -> None:
    job = make_job("running", api.organization.id)
    first = api.get(path_of(job))
    known = {"If-None-Match": first.headers["ETag"]}

    again = api.get(path_of(job), headers=known)

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    Job.objects.filter(id=job.id).update(progress={"step": 2})
    changed = api.get(path_of(job), headers=known)
    assert (changed.status_code, changed.json()["progress"]) == (200, {"step": 2})
    assert changed.headers["ETag"] != first.headers["ETag"]
    other = {"If-None-Match": f'"x", {changed.headers["ETag"]}'}
    assert api.get(path_of(job), headers=other).status_code == 304
    assert api.get(path_of(job), headers={"If-None-Match": "nonsense"}).status_code == 200


def test_show_and_cancel__of_another_organizations_job__find_nothing(
    api: Any, issue_key: Callable[..., Any]
) -> None:
    job = enqueue(Probe(), organization_id=api.organization.id)
    foreign = issue_key()
    tag = {"If-None-Match": "*"}

    assert_refused(foreign.get(path_of(job)), 404, "JOB_NOT_FOUND")
    assert_refused(foreign.get(path_of(job), headers=tag), 404, "JOB_NOT_FOUND")
    assert_refused(foreign.delete(path_of(job)), 404, "JOB_NOT_FOUND")
    assert_refused(api.get("/api/jobs/job_nonsense"), 404, "JOB_NOT_FOUND")
    assert Job.objects.get().state == job.state
    assert api.get(path_of(job)).json()["payload"]["action"] == "succeed"


def test_cancel__of_a_waiting_job__ends_it_once(api: Any) -> None:
    job = enqueue(Probe(), organization_id=api.organization.id)

    first = api.delete(path_of(job))
    second = api.delete(path_of(job))

    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    refused = assert_refused(second, 409, "JOB_ALREADY_FINISHED")
    assert refused["data"] == {"state": "cancelled"}
    job.refresh_from_db()
    assert (job.state, job.next_attempt_at) == ("cancelled", None)
    assert AuditEvent.objects.filter(action="job.cancelled").count() == 1


def test_cancel__of_a_running_job__asks_once_and_waits_for_its_worker(api: Any) -> None:
    job = make_job("running", api.organization.id)

    first, second = api.delete(path_of(job)), api.delete(path_of(job))

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["state"] == "running"
    assert first.json()["cancelRequestedAt"] == second.json()["cancelRequestedAt"] is not None
