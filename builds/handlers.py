"""Work of this domain, as the engine calls it."""

from __future__ import annotations

import uuid

from django.conf import settings

from builds.payloads import FailOrphans, FetchSource, RollUpAnalytics, RunBuild, SweepWorkspaces
from builds.selectors.rollups import list_days_due
from builds.services.dead import fail_dead_build, refuse_requeue
from builds.services.fetches import fail_dead_fetch, refuse_requeue_of_fetch, run_fetch
from builds.services.orphans import fail_orphans
from builds.services.rollups import roll_day
from builds.services.run import run_build as run
from builds.services.workspaces import sweep_workspaces
from jobs.context import Death, JobContext
from jobs.queues import BUILDS, MAINTENANCE
from jobs.registry import handler


def fail_build(payload: RunBuild, death: Death) -> None:
    """The job has died: so has the build."""
    fail_dead_build(build_id=payload.build_id, error_class=death.error_class)


def refuse_finished(payload: RunBuild, job_id: uuid.UUID) -> None:
    """A build that has ended is submitted anew, not run again."""
    refuse_requeue(build_id=payload.build_id)


# Longer than the sandbox allows a process, so that a slow source fails its build and does not
# count as a failed attempt of the job.
@handler(
    RunBuild,
    queue=BUILDS,
    timeout_s=settings.BUILD_TIMEOUT_S + 120.0,
    on_dead=fail_build,
    on_requeue=refuse_finished,
)
def run_build(payload: RunBuild, context: JobContext) -> None:
    """Build and publish."""
    run(build_id=payload.build_id, context=context)


def fail_fetch(payload: FetchSource, death: Death) -> None:
    """The job has died: so has the fetch."""
    fail_dead_fetch(fetch_id=payload.fetch_id, error_class=death.error_class, message=death.message)


def refuse_ended_fetch(payload: FetchSource, job_id: uuid.UUID) -> None:
    """A fetch that has ended is started anew, not run again."""
    refuse_requeue_of_fetch(fetch_id=payload.fetch_id)


# Once over the network and once in the sandbox.
@handler(
    FetchSource,
    queue=BUILDS,
    timeout_s=2 * settings.GIT_FETCH_TIMEOUT_S + 120.0,
    on_dead=fail_fetch,
    on_requeue=refuse_ended_fetch,
)
def fetch_source(payload: FetchSource, context: JobContext) -> None:
    """Fetch and keep."""
    run_fetch(fetch_id=payload.fetch_id, context=context)


@handler(SweepWorkspaces, queue=MAINTENANCE, timeout_s=300.0)
def sweep(payload: SweepWorkspaces, context: JobContext) -> dict[str, int]:
    """Remove what killed workers left behind."""
    return {"removed": sweep_workspaces()}


@handler(FailOrphans, queue=MAINTENANCE, timeout_s=60.0)
def end_orphans(payload: FailOrphans, context: JobContext) -> dict[str, int]:
    """Fail what nothing else will end."""
    return {"failed": fail_orphans()}


@handler(RollUpAnalytics, queue=MAINTENANCE, timeout_s=600.0)
def roll_up(payload: RollUpAnalytics, context: JobContext) -> dict[str, int]:
    """Roll up the days that may have changed, each in a transaction of its own."""
    days = list_days_due()
    for done, day in enumerate(days):
        context.check()
        context.progress({"done": done, "of": len(days)})
        roll_day(day=day)
    return {"days": len(days)}
