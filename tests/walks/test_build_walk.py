"""A website from an upload to its published pages, over HTTP, with a real worker."""

from __future__ import annotations

import contextlib
import io
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from builds.models import BuildTransition
from credits.models import Account
from flagship.models import AuditEvent
from jobs.ids import parse_public_id
from jobs.models import Job
from tests.asserts import assert_refused, wait_until
from tests.clients import ApiCaller
from tests.ledger import assert_ledger_adds_up
from tests.processes import Processes, Running

SITES = Path(__file__).resolve().parents[2] / "builds" / "fixtures" / "sites"
FINAL = {"deployed", "failed", "cancelled"}


@pytest.fixture
def worker(live_db: None, processes: Processes) -> Iterator[Running]:
    """A real `manage.py rqworker`."""
    yield processes.start("rqworker")


def make_project(api: ApiCaller, name: str, **fields: Any) -> dict[str, Any]:
    response = api.post("/v1/projects", {"name": name, **fields})
    assert response.status_code == 201, response.json()
    return dict(response.json())


def upload(api: ApiCaller, project: dict[str, Any], archive: bytes) -> dict[str, Any]:
    response = api.post(
        f"/v1/projects/{project['id']}/sources", archive, content_type="application/gzip"
    )
    assert response.status_code == 201, response.json()
    return dict(response.json())


def submit(api: ApiCaller, project: dict[str, Any], source: dict[str, Any], **more: Any) -> Any:
    return api.post("/v1/builds", {"projectId": project["id"], "sourceId": source["id"], **more})


def wait_for_end(api: ApiCaller, build_id: str, worker: Running) -> dict[str, Any]:
    answers: list[dict[str, Any]] = []

    def has_ended() -> bool:
        answers.append(api.get(f"/v1/builds/{build_id}").json())
        return answers[-1]["state"] in FINAL

    wait_until(has_ended, 120, lambda: f"{answers[-1]}\n{worker.output()[-3000:]}")
    return answers[-1]


def log_of(api: ApiCaller, build_id: str) -> list[dict[str, Any]]:
    page = api.get(f"/v1/builds/{build_id}/log?limit=1000").json()
    assert page["isComplete"]
    assert [line["seq"] for line in page["items"]] == list(range(1, page["lastSeq"] + 1))
    return list(page["items"])


def fetch(api: ApiCaller, url: str) -> bytes:
    """Fetch a published page."""
    response: Any = api.client.get(url.removeprefix(settings.PUBLIC_URL))
    assert response.status_code == 200, url
    return b"".join(response.streaming_content)


def build_audit(build_id: str) -> list[str]:
    events = AuditEvent.objects.filter(subject_type="build", subject_id=build_id).order_by("id")
    return list(events.values_list("action", flat=True))


def moves(build_id: str) -> list[tuple[str | None, str]]:
    rows = BuildTransition.objects.filter(build_id=parse_public_id("build", build_id))
    return list(rows.order_by("seq").values_list("from_state", "to_state"))


@pytest.mark.parametrize(
    ("archive", "builder", "page", "text"),
    [
        ("mdn-beginner-site.tar.gz", "static", "", "Mozilla is cool"),
        ("starlette-docs.tar.gz", "mkdocs", "routing/", "Starlette"),
    ],
)
def test_build__real_site__is_deployed_charged_and_served(
    archive: str, builder: str, page: str, text: str, worker: Running, api: ApiCaller
) -> None:
    # B-01 B-05 B-06 C-05
    project = make_project(api, f"A {builder} site", defaultBuilder=builder)
    source = upload(api, project, (SITES / archive).read_bytes())

    accepted = submit(api, project, source)
    assert accepted.status_code == 202, accepted.json()
    queued = accepted.json()
    assert (queued["state"], queued["previousState"], queued["builder"]) == (
        "queued",
        None,
        builder,
    )
    build = wait_for_end(api, queued["id"], worker)

    assert build["state"] == "deployed", (build, log_of(api, build["id"]))
    assert build["previousState"] == "building"
    assert build["artifact"]["fileCount"] > 0
    assert 1 <= build["chargedCredits"] <= build["estimatedCredits"]
    assert text in fetch(api, f"{project['siteUrl']}{page}").decode()
    assert fetch(api, f"{build['versionUrl']}{page}") == fetch(api, f"{build['siteUrl']}{page}")

    account = Account.objects.get(organization_id=api.organization.id)
    assert (account.balance, account.reserved) == (1000 - build["chargedCredits"], 0)
    assert_ledger_adds_up()
    assert build_audit(build["id"]) == ["build.created", "build.started", "build.deployed"]
    assert moves(build["id"]) == [
        (None, "queued"),
        ("queued", "building"),
        ("building", "deployed"),
    ]
    assert Job.objects.get(id=parse_public_id("job", build["jobId"])).state == "succeeded"
    log = [line["text"] for line in log_of(api, build["id"])]
    assert log[-1].startswith("publishing ")
    assert [line for line in log if str(settings.STORAGE_DIR) in line] == []


SLOW_MKDOCS = b"""site_name: Slow
docs_dir: docs
theme: mkdocs
"""


def tar_gz(files: dict[str, bytes]) -> bytes:
    """Pack files into a .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def large_docs(pages: int) -> bytes:
    """A documentation that keeps MkDocs busy for a while."""
    page = b"# Page\n\n" + b"Some *text* with `code` and [a link](https://example.org).\n\n" * 400
    files = {f"docs/page{n}.md": page for n in range(pages)}
    return tar_gz({"mkdocs.yml": SLOW_MKDOCS, "docs/index.md": b"# Home\n", **files})


def is_building(worker: Running) -> bool:
    """Tell whether MkDocs runs below the worker just now."""
    for process in living_children(worker):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "build_mkdocs" in " ".join(process.cmdline()):
                return True
    return False


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process is there and no zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def living_children(worker: Running) -> list[psutil.Process]:
    """The worker's descendants; what has ended and waits to be reaped is left out."""
    found = []
    for process in psutil.Process(worker.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_build__site_without_an_index__fails_and_gives_the_credits_back(
    worker: Running, api: ApiCaller
) -> None:
    # B-05 B-06
    project = make_project(api, "No index")
    source = upload(api, project, tar_gz({"about.html": b"<p>About</p>"}))

    build = wait_for_end(api, submit(api, project, source).json()["id"], worker)

    assert (build["state"], build["previousState"]) == ("failed", "building")
    assert build["error"]["code"] == "BUILD_CHECK_FAILED"
    assert "index.html" in build["error"]["message"]
    assert (build["chargedCredits"], build["artifact"], build["versionUrl"]) == (None, None, None)
    texts = [line["text"] for line in log_of(api, build["id"])]
    assert texts[-1].startswith("failed: ")
    account = Account.objects.get(organization_id=api.organization.id)
    assert (account.balance, account.reserved) == (1000, 0)
    assert_ledger_adds_up()
    assert build_audit(build["id"]) == ["build.created", "build.started", "build.failed"]
    # What is wrong with the source is no failure of the job: no retry, no dead letter.
    job = Job.objects.get(id=parse_public_id("job", build["jobId"]))
    assert (job.state, job.attempts) == ("succeeded", 1)
    assert api.client.get(f"/sites/{project['id']}/").status_code == 404


def test_build__second_one_deploys__live_site_switches_and_the_old_version_stays(
    worker: Running, api: ApiCaller
) -> None:
    # B-05
    project = make_project(api, "Two versions")
    ids = []
    for text in (b"first", b"second"):
        source = upload(api, project, tar_gz({"index.html": b"<h1>" + text + b"</h1>"}))
        build = wait_for_end(api, submit(api, project, source).json()["id"], worker)
        assert build["state"] == "deployed", build
        ids.append(build["id"])

    pages = [f"/sites/{project['id']}/{part}" for part in (f"@{ids[0]}/", f"@{ids[1]}/", "")]
    bodies = [fetch(api, page) for page in pages]

    assert bodies == [b"<h1>first</h1>", b"<h1>second</h1>", b"<h1>second</h1>"]
    assert api.get(f"/v1/projects/{project['id']}").json()["liveBuildId"] == ids[1]


def test_build__cancelled_while_building__its_processes_end_and_credits_go_back(
    worker: Running, api: ApiCaller
) -> None:
    # B-01 B-05 B-06 P06
    project = make_project(api, "Slow", defaultBuilder="mkdocs")
    source = upload(api, project, large_docs(400))
    build_id = submit(api, project, source).json()["id"]
    wait_until(
        lambda: is_building(worker),
        30,
        worker.output,
    )

    asked = api.post(f"/v1/builds/{build_id}/cancel")
    assert (asked.status_code, asked.json()["state"]) == (202, "building")
    assert asked.json()["isCancelRequested"]
    again = api.post(f"/v1/builds/{build_id}/cancel")
    assert again.status_code == 202 or again.json()["state"] == "cancelled"
    build = wait_for_end(api, build_id, worker)

    assert (build["state"], build["previousState"]) == ("cancelled", "building")
    wait_until(lambda: not living_children(worker), 5, lambda: str(living_children(worker)))
    account = Account.objects.get(organization_id=api.organization.id)
    assert (account.balance, account.reserved) == (1000, 0)
    assert build_audit(build_id) == [
        "build.created",
        "build.started",
        "build.cancel_requested",
        "build.cancelled",
    ]
    assert moves(build_id)[-1] == ("building", "cancelled")
    last = BuildTransition.objects.order_by("-seq").first()
    assert last and last.actor == f"api_key:{api.api_key.prefix}"
    late = api.post(f"/v1/builds/{build_id}/cancel")
    refused = assert_refused(late, 409, "INVALID_STATE_TRANSITION")
    assert refused["data"]["validNextStates"] == []
    assert_ledger_adds_up()


def test_build__cancelled_while_queued__never_starts(live_db: None, api: ApiCaller) -> None:
    # B-01 B-02 B-06
    project = make_project(api, "Waiting")
    source = upload(api, project, tar_gz({"index.html": b"<p>Hi</p>"}))
    queued = submit(api, project, source).json()

    cancelled = api.post(f"/v1/builds/{queued['id']}/cancel")

    assert cancelled.status_code == 200
    assert (cancelled.json()["state"], cancelled.json()["previousState"]) == ("cancelled", "queued")
    assert Job.objects.get(id=parse_public_id("job", queued["jobId"])).state == "cancelled"
    account = Account.objects.get(organization_id=api.organization.id)
    assert (account.balance, account.reserved) == (1000, 0)
    assert build_audit(queued["id"]) == ["build.created", "build.cancelled"]
    assert submit(api, project, source).status_code == 202


def test_build__worker_killed_while_building__another_one_finishes_and_charges_once(
    live_db: None, processes: Processes, api: ApiCaller
) -> None:
    # B-05 B-06 P01 P07 P09
    fast = {"JOB_LEASE_S": "2", "JOB_LEASE_RENEWAL_S": "0.5", "SWEEP_INTERVAL_S": "0.2"}
    first = processes.start("rqworker", env=fast)
    processes.start("rqscheduler", env=fast)
    project = make_project(api, "Survivor", defaultBuilder="mkdocs")
    source = upload(api, project, large_docs(60))
    build_id = submit(api, project, source).json()["id"]
    wait_until(
        lambda: is_building(first),
        30,
        first.output,
    )
    orphans = living_children(first)

    first.kill()
    second = processes.start("rqworker", env=fast)
    build = wait_for_end(api, build_id, second)

    assert build["state"] == "deployed", build
    assert moves(build_id) == [
        (None, "queued"),
        ("queued", "building"),
        ("building", "deployed"),
    ]
    texts = [line["text"] for line in log_of(api, build_id)]
    assert [text.split(":")[0] for text in texts if text.startswith("attempt")] == [
        "attempt 1",
        "attempt 2",
    ]
    wait_until(lambda: not [p for p in orphans if is_alive(p)], 10, lambda: str(orphans))
    account = Account.objects.get(organization_id=api.organization.id)
    assert (account.balance, account.reserved) == (1000 - build["chargedCredits"], 0)
    assert build_audit(build_id) == ["build.created", "build.started", "build.deployed"]
    assert_ledger_adds_up()


def test_build__worker_told_to_stop_while_building__hands_it_back_and_another_finishes(
    live_db: None, processes: Processes, api: ApiCaller
) -> None:
    # B-05 W-14 P01
    fast = {"WORKER_DRAIN_LIMIT_S": "0.2", "SWEEP_INTERVAL_S": "0.2"}
    first = processes.start("rqworker", env=fast)
    processes.start("rqscheduler", env=fast)
    project = make_project(api, "Handed back", defaultBuilder="mkdocs")
    build_id = submit(api, project, upload(api, project, large_docs(60))).json()["id"]
    wait_until(
        lambda: is_building(first),
        30,
        first.output,
    )

    first.kill(signal.SIGTERM)
    assert first.wait(30) == 0, first.output()[-3000:]
    second = processes.start("rqworker", env=fast)
    build = wait_for_end(api, build_id, second)

    assert build["state"] == "deployed", build
    job = Job.objects.get(id=parse_public_id("job", build["jobId"]))
    assert (job.state, job.failures, job.crashes) == ("succeeded", 0, 0)
    assert build_audit(build_id) == ["build.created", "build.started", "build.deployed"]
    assert_ledger_adds_up()
