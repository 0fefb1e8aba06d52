"""Cancel builds, whoever asks: a client, or whatever cancelled the build's job.

An active build always has a job that will end it. `succeeded` is written in the transaction that
ends the build; `dead` calls on_dead and `cancelled` the subscriber, both in the transaction that
ends the job. So no sweep looks for stranded builds: there is no moment that could leave one.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from builds.models import Build
from builds.selectors.builds import get_build
from builds.services.holds import give_back
from builds.services.moves import check_move, lock_build, move, record
from builds.states import ACTIVE, BuildState, is_final
from jobs.clients.postgres import run
from jobs.errors import JobAlreadyFinished, JobNotFound
from jobs.ids import public_id
from jobs.services.cancel import cancel_job

_ACTIVE_OF_JOB: Final = "SELECT id FROM builds_build WHERE job_id = %s AND state = ANY(%s)"


def cancel_build(*, organization_id: uuid.UUID, build_id: uuid.UUID, actor: str) -> Build:
    """Cancel a build: at once where nothing runs, else ask the worker to stop.

    A build that is being built answers `building` until its processes are killed and the worker
    has confirmed; asking again changes nothing.

    Raises: BuildNotFound; InvalidStateTransition for a build that has ended.
    Source: B-01, B-04, P06.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id, organization_id=organization_id)
        check_move(build, BuildState.CANCELLED)
        if build.state == BuildState.QUEUED.value:
            _confirm(build, actor)
            _stop_job(build, actor)
        elif not build.cancel_requested_by:
            Build.objects.filter(id=build.id).update(cancel_requested_by=actor)
            record("build.cancel_requested", build, actor)
            _stop_job(build, actor)
    return get_build(organization_id=organization_id, build_id=build_id)


def supersede_waiting(*, project_id: uuid.UUID, newer_id: uuid.UUID, actor: str) -> None:
    """Cancel the builds of a project that still wait, in favour of a newer one.

    The project's row is locked. The newer build is stored later in the same transaction: a
    deferred foreign key sees to that, so that nothing is cancelled for a build that never comes.
    """
    waiting = Build.objects.filter(project_id=project_id, state=BuildState.QUEUED.value)
    for build in waiting.order_by("id"):
        _confirm(build, actor, newer_id=newer_id)
        _stop_job(build, actor)


def confirm_cancelled(*, build_id: uuid.UUID, actor: str) -> bool:
    """Move an active build to cancelled and give its credits back; say whether it was active.

    Called when nothing runs for the build any more. Calling it again changes nothing. `actor` is
    named unless a client has asked for the cancel before.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id)
        if is_final(build.state):
            return False
        _confirm(build, build.cancel_requested_by or actor)
    return True


def confirm_cancelled_job(*, job_id: uuid.UUID, actor: str) -> None:
    """Cancel the build of a job that was cancelled, in the transaction that cancels the job."""
    for (build_id,) in run(_ACTIVE_OF_JOB, (job_id, list(ACTIVE))):
        confirm_cancelled(build_id=build_id, actor=actor or "worker")


def _stop_job(build: Build, actor: str) -> None:
    """Cancel the build's job. A waiting one confirms at once, through the subscriber."""
    try:
        cancel_job(job_id=build.job_id, organization_id=build.organization_id, actor=actor)
    except (JobAlreadyFinished, JobNotFound):
        # Dead, its on_dead still owed: nothing runs, so the cancel may go ahead.
        confirm_cancelled(build_id=build.id, actor=actor)


def _confirm(build: Build, actor: str, *, newer_id: uuid.UUID | None = None) -> None:
    """Give the credits back and move; `newer_id` is the build for which this one makes room."""
    told: dict[str, str] = {"previousState": build.state}
    if newer_id is not None:
        told["supersededBy"] = public_id("build", newer_id)
    give_back(build, reason="build_superseded" if newer_id else "build_cancelled", actor=actor)
    move(build, BuildState.CANCELLED, by=actor, superseded_by=newer_id)
    record("build.cancelled", build, actor, **told)
