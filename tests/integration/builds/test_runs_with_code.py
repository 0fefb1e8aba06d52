"""Whole runs of the builders that run a site's own programs, each with its own limits. # B-05"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builds.builders import BuilderLimits, npm, sphinx
from builds.clients import sandbox
from builds.clients.sandbox.levels import missing
from builds.clients.storage import artifact_path, store_source
from builds.models import Build
from builds.services.submit import BuildOrder, create_build
from jobs.worker.execute import Executor
from tests.factories import make_account, make_project, make_source

SITES = Path(__file__).parents[3] / "builds" / "fixtures" / "sites"
needs_bubblewrap = pytest.mark.skipif(
    missing("bubblewrap") != "", reason="bubblewrap is not installed"
)
needs_node = pytest.mark.skipif(not npm.BUILDER.is_offered, reason="Node is not installed")


def submit(site: str, builder: str) -> Build:
    project = make_project(make_account(), default_builder=builder)
    stored = store_source([(SITES / f"{site}.tar.gz").read_bytes()], 10**6)
    source = make_source(project, sha256=stored.sha256)
    return create_build(
        organization_id=project.organization_id,
        order=BuildOrder(project_id=project.id, source_id=source.id),
        actor="test",
    )


@needs_bubblewrap
@pytest.mark.parametrize(
    ("site", "builder"),
    [("alabaster-docs", "sphinx"), pytest.param("marked-manual", "npm", marks=needs_node)],
)
def test_run__site_with_code__is_deployed_and_charged(
    site: str, builder: str, executor: Executor, settings: Any
) -> None:
    # B-05 B-06
    settings.BUILD_SANDBOX = "required"
    build = submit(site, builder)

    executor.run(build.job_id)

    build.refresh_from_db()
    assert build.state == "deployed", build.error_message
    assert (artifact_path(build.artifact_sha256 or "") / "index.html").is_file()
    assert 1 <= (build.charged_credits or 0) <= build.estimated_credits


def test_run__builder_with_limits__gets_the_smaller_of_both(
    executor: Executor, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-05 W-07
    settings.BUILD_TIMEOUT_S, settings.BUILD_MEMORY_BYTES = 60.0, 2**30
    given: list[sandbox.SandboxLimits] = []

    def note(command: list[str], *, limits: sandbox.SandboxLimits, **_: Any) -> Any:
        given.append(limits)
        return sandbox.SandboxResult(1, "failed", 0.0, "enough")

    monkeypatch.setattr(sandbox, "run_sandboxed", note)
    for limits in (BuilderLimits(), BuilderLimits(5.0, 2**20, 256)):
        monkeypatch.setattr(sphinx.SphinxBuilder, "LIMITS", limits)
        executor.run(submit("alabaster-docs", "sphinx").job_id)

    assert [(each.timeout_s, each.memory_bytes, each.processes) for each in given] == [
        (60.0, 2**30, 64),
        (5.0, 2**20, 256),
    ]
