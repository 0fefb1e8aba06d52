"""Whole runs of builds in an engine without processes: what goes wrong, and what it costs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from builds.clients.storage import store_source
from builds.models import Build, BuildLogLine
from builds.services import pulse
from builds.services.log import LogWriter
from builds.services.moves import start_build
from builds.services.pulse import Pulse
from builds.services.submit import BuildOrder, create_build
from credits.models import Account, Reservation
from credits.services import reserve_credits, reserve_each
from jobs.models import FailedJob, Job, JobAttempt
from jobs.services import dead_letters
from jobs.worker.execute import Executor
from tests.asserts import wait_until
from tests.factories import make_account, make_build, make_project, make_source
from tests.integration.builds.archives import INDEX, tar_gz
from tests.integration.builds.runs import audited, claim_run, lose_lease
from tests.ledger import assert_ledger_adds_up

PAGE = b"# Page\n\n" + b"Some *text* with `code` and [a link](https://example.org).\n\n" * 400
LARGE_DOCS = {
    "mkdocs.yml": b"site_name: Slow\ntheme: mkdocs\n",
    "docs/index.md": b"# Home\n",
    **{f"docs/page{number}.md": PAGE for number in range(300)},
}


def build_of(files: dict[str, bytes], builder: str = "static", credits: int = 1000) -> Build:
    """Submit a build of these files."""
    project = make_project(make_account(credits=credits), default_builder=builder)
    stored = store_source([tar_gz(files)], 10**8)
    source = make_source(project, sha256=stored.sha256)
    return create_build(
        organization_id=project.organization_id,
        order=BuildOrder(project_id=project.id, source_id=source.id),
        actor="test",
    )


def assert_failed(build: Build, code: str, *, attempts: int = 1) -> None:
    """Failed, nothing charged, nothing held, the job done, its log complete."""
    build.refresh_from_db()
    assert (build.state, build.error_code) == ("failed", code), build.error_message
    account = Account.objects.get(organization_id=build.organization_id)
    assert (account.balance, account.reserved) == (account.issued, 0)
    assert audited(build)[-1] == "build.failed"
    assert JobAttempt.objects.filter(job_id=build.job_id).count() == attempts
    assert_ledger_adds_up()


def log_of(build: Build) -> list[str]:
    lines = BuildLogLine.objects.filter(build=build).order_by("seq")
    return list(lines.values_list("text", flat=True))


@pytest.mark.parametrize(
    ("files", "builder", "code", "said"),
    [
        ({"about.html": INDEX}, "static", "BUILD_CHECK_FAILED", "index.html is missing"),
        ({"index.html": b'<a href="gone.html">x</a>'}, "static", "BUILD_FAILED", "gone.html"),
        ({"index.html": INDEX}, "mkdocs", "SITE_CONFIGURATION_REFUSED", "mkdocs.yml"),
        ({"mkdocs.yml": b"site_name: ["}, "mkdocs", "BUILD_FAILED", "mkdocs.yml"),
    ],
)
def test_run__source_that_cannot_be_built__fails_the_build_and_not_the_job(
    files: dict[str, bytes],
    builder: str,
    code: str,
    said: str,
    executor: Executor,
) -> None:
    # B-05 B-06
    build = build_of(files, builder)

    executor.run(build.job_id)

    assert_failed(build, code)
    assert Job.objects.get(id=build.job_id).state == "succeeded"
    assert FailedJob.objects.count() == 0
    text = "\n".join(log_of(build))
    assert said in text
    assert log_of(build)[-1].startswith("failed: ")


def test_run__longer_than_a_build_may_take__fails_as_timed_out(
    executor: Executor,
    settings: Any,
) -> None:
    # B-05 W-07
    settings.BUILD_TIMEOUT_S = 1.0
    build = build_of(LARGE_DOCS, "mkdocs")

    executor.run(build.job_id)

    assert_failed(build, "BUILD_TIMED_OUT")


def test_run__output_larger_than_a_site_may_be__fails(
    executor: Executor,
    settings: Any,
) -> None:
    # B-05
    settings.BUILD_OUTPUT_BYTES = 50_000
    build = build_of({"index.html": INDEX, "large.bin": bytes(60_000)})

    executor.run(build.job_id)

    assert_failed(build, "OUTPUT_TOO_LARGE")


def test_run__fault_of_ours__is_retried_then_buried_and_never_charged(
    executor: Executor,
) -> None:
    # B-02 B-06 W-06
    build = make_build(make_project(make_account()))

    for _ in range(3):
        wait_until(lambda: executor.run(build.job_id), 10)

    assert_failed(build, "BUILD_JOB_DIED", attempts=3)
    assert build.previous_state == "building"
    letter = FailedJob.objects.get(job_id=build.job_id)
    assert letter.error_class == "FileNotFoundError"
    with pytest.raises(Exception, match="cannot run again") as refused:
        dead_letters.requeue(failed_job_id=letter.id, actor="operator")
    assert getattr(refused.value, "code", "") == "BUILD_FINISHED"
    assert Job.objects.get(id=build.job_id).state == "dead"


def test_run__credits_gone_while_it_waited__fails_and_says_so(
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # C-02 C-03
    def brief(**request: Any) -> Any:
        return reserve_each(**request, expires_in_s=0.001)

    monkeypatch.setattr("builds.services.submit.reserve_each", brief)
    build = build_of({"index.html": INDEX}, credits=5)
    reserve_credits(
        organization_id=build.organization_id,
        amount_credits=5,
        subject_type="build",
        subject_id="another",
        actor="test",
    )

    executor.run(build.job_id)

    build.refresh_from_db()
    assert (build.state, build.error_code) == ("failed", "INSUFFICIENT_CREDITS")
    assert build.previous_state == "queued"
    assert Job.objects.get(id=build.job_id).state == "succeeded"


def test_run__delivered_twice__has_one_effect(executor: Executor) -> None:
    # W-04 P08
    build = build_of({"index.html": INDEX})
    threads = [threading.Thread(target=executor.run, args=(build.job_id,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    build.refresh_from_db()
    assert build.state == "deployed"
    assert audited(build) == ["build.created", "build.started", "build.deployed"]
    assert JobAttempt.objects.filter(job_id=build.job_id).count() == 1


def expiry_of(build: Build) -> Any:
    return Reservation.objects.get(id=build.reservation_id).expires_at


def test_pulse__build_that_takes_long__keeps_its_hold(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-02
    monkeypatch.setattr(pulse, "HOLD_INTERVAL_S", 0.05)
    build = make_build(make_project(make_account()))
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    before = expiry_of(build)
    log = LogWriter(build_id=build.id, context=context)

    with Pulse(build_id=build.id, context=context, flush=log.flush, wake=log.full):
        log.line("stdout", "still here")
        wait_until(lambda: expiry_of(build) > before, 10)
        wait_until(lambda: log_of(build) == ["still here"], 10)

    assert not context.stop.is_set()


def test_pulse__lease_lost__stops_the_run_and_writes_nothing(live_db: None) -> None:
    # P09
    build = make_build(make_project(make_account()))
    stale = claim_run(build)
    start_build(build_id=build.id, context=stale)
    lose_lease(build)
    claim_run(build)
    log = LogWriter(build_id=build.id, context=stale)

    with Pulse(build_id=build.id, context=stale, flush=log.flush, wake=log.full):
        log.line("stdout", "too late")
        assert stale.stop.wait(10)

    assert log_of(build) == []


def test_pulse__database_away_for_a_moment__loses_no_line(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-05
    build = make_build(make_project(make_account()))
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    log = LogWriter(build_id=build.id, context=context)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")

    with Pulse(build_id=build.id, context=context, flush=log.flush, wake=log.full):
        log.line("stdout", "one")
        wait_until(lambda: len(log_of(build)) == 1, 10)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND usename = current_user"
                " AND datname = current_database()"
            )
        log.line("stdout", "two")
        wait_until(lambda: len(log_of(build)) == 2, 10)

    assert log_of(build) == ["one", "two"]


def test_workspaces__after_any_run__are_gone(executor: Executor, settings: Any) -> None:
    # B-05
    for files in ({"index.html": INDEX}, {"about.html": INDEX}):
        executor.run(build_of(files).job_id)

    work = Path(settings.STORAGE_DIR) / "work"
    assert [path.name for path in work.iterdir() if path.stat().st_mtime > time.time() - 60] == []
