"""Move builds: every change of state, with its credits and audit event, in one transaction."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from builds.clients.storage import StoredArtifact
from builds.errors import BuildNotFound, InvalidStateTransition
from builds.models import Build, Project
from builds.pricing import usage_credits
from builds.services.holds import charge, give_back, keep_hold
from builds.services.projects import lock_project
from builds.states import BuildState, is_final, valid_next_states
from flagship.services import audit
from jobs import telemetry
from jobs.clients.postgres import run
from jobs.clients.rows import fetch
from jobs.context import JobContext
from jobs.ids import public_id
from jobs.models import Job

WORKER: Final = "worker"
MESSAGE_LENGTH: Final = 2000


def lock_build(*, build_id: uuid.UUID, organization_id: uuid.UUID | None = None) -> Build:
    """Lock the build's project and read the build: its state stays until the transaction ends.

    Raises: BuildNotFound, also for another organization's where one is named.
    """
    found = run("SELECT organization_id, project_id FROM builds_build WHERE id = %s", (build_id,))
    if not found or organization_id not in (None, found[0][0]):
        raise BuildNotFound
    project = lock_project(organization_id=found[0][0], project_id=found[0][1])
    [build] = fetch(Build, "WHERE id = %s", (build_id,))
    build.project = project
    return build


def start_build(*, build_id: uuid.UUID, context: JobContext) -> Build | None:
    """Move a queued build to building; take over one whose worker was lost.

    Returns None for a build that has ended: its job was delivered late and has nothing to do.
    Raises: LeaseLost; InsufficientCredits when its hold expired in the queue and the credits have
    gone since. Nothing has changed then.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id)
        if is_final(build.state):
            return None
        keep_hold(build)
        fence = Job.objects.values_list("lease_token", flat=True).get(id=context.job_id)
        if build.state == BuildState.QUEUED.value:
            move(build, BuildState.BUILDING, by=WORKER, fence=fence, started_at=Now())
            record("build.started", build, WORKER, attempt=context.attempt)
        else:
            Build.objects.filter(id=build.id, state=build.state).update(fence=fence)
        context.assert_held()
    build.refresh_from_db()
    return build


def mark_deployed(
    *, build_id: uuid.UUID, artifact: StoredArtifact, duration_s: float, context: JobContext
) -> Build:
    """Publish an artifact, charge what was used and complete the job: all of it or nothing.

    An older build that ends after a newer one is deployed, but does not become the live one.

    Raises: LeaseLost; InvalidStateTransition; InsufficientCredits where more was used than held
    and the free balance does not cover it.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id)
        check_move(build, BuildState.DEPLOYED)
        price = usage_credits(duration_s=duration_s, output_bytes=artifact.size_bytes)
        charged = charge(build, price)
        move(
            build,
            BuildState.DEPLOYED,
            by=WORKER,
            charged_credits=charged,
            artifact_sha256=artifact.sha256,
            artifact_bytes=artifact.size_bytes,
            artifact_files=artifact.file_count,
        )
        is_live = publish_site(build)
        record("build.deployed", build, WORKER, chargedCredits=charged, isLive=is_live)
        context.complete({"state": BuildState.DEPLOYED.value, "chargedCredits": charged})
    build.refresh_from_db()
    return build


def fail_build(
    *, build_id: uuid.UUID, code: str, message: str, context: JobContext | None = None
) -> Build:
    """Fail an active build and give its credits back; with a context also complete the job.

    Raises: LeaseLost; InvalidStateTransition for a build that has ended.
    """
    with transaction.atomic():
        build = lock_build(build_id=build_id)
        check_move(build, BuildState.FAILED)
        give_back(build, reason="build_failed", actor=WORKER)
        text = message.replace("\x00", "")[:MESSAGE_LENGTH]
        move(build, BuildState.FAILED, by=WORKER, error_code=code, error_message=text)
        record("build.failed", build, WORKER, errorCode=code)
        if context is not None:
            context.complete({"state": BuildState.FAILED.value, "errorCode": code})
    build.refresh_from_db()
    return build


def move(build: Build, to: BuildState, *, by: str, **columns: Any) -> None:
    """Write one move of a build whose project is locked; a final state frees slot and fence.

    Raises: InvalidStateTransition when the row is not in the state that was read.
    """
    if is_final(to):
        columns |= {"slot": None, "fence": None, "finished_at": Now()}
    moved = Build.objects.filter(id=build.id, state=build.state).update(
        state=to.value, moved_by=by, **columns
    )
    if not moved:
        build.refresh_from_db()
        raise refusal(build, to)


def check_move(build: Build, to: BuildState) -> None:
    """Raise InvalidStateTransition unless the table of moves allows it."""
    if to.value not in valid_next_states(build.state):
        raise refusal(build, to)


def refusal(build: Build, to: BuildState) -> InvalidStateTransition:
    """Say where the build stands and where it may go."""
    return InvalidStateTransition(
        build_id=public_id("build", build.id),
        current_state=build.state,
        requested_state=to.value,
        next_states=valid_next_states(build.state),
    )


def record(action: str, build: Build, actor: str, **data: Any) -> None:
    """Record an audit event about a build in the caller's transaction; tell those who watch."""
    told = {"projectId": public_id("proj", build.project_id), **data}
    audit.record(
        action=action,
        subject_type="build",
        subject_id=public_id("build", build.id),
        organization_id=build.organization_id,
        actor=actor,
        data=told,
    )
    telemetry.publish(
        action,
        organization_id=build.organization_id,
        buildId=public_id("build", build.id),
        actor=actor,
        **told,
    )


def publish_site(build: Build) -> bool:
    """Point the project, which is locked, at a deployed build unless a later one is live.

    Returns whether it did.
    """
    project = Project.objects.get(id=build.project_id)
    if project.live_build_id is not None and project.live_build_id > build.id:
        return False
    Project.objects.filter(id=project.id).update(live_build=build.id, updated_at=Now())
    return True
