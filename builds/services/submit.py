"""Accept a build: slot, credits, row, audit event and job in one transaction (B-06)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from builds.builders import get_builder
from builds.errors import BuildAlreadyRunning, BuildStillActive
from builds.models import Build, Project, Source
from builds.payloads import RunBuild
from builds.selectors.builds import (
    find_build_of_key,
    get_build,
    list_active_builds,
    taken_slots,
)
from builds.selectors.estimates import estimate_build
from builds.selectors.eta import estimate_wait
from builds.selectors.keys import hash_key
from builds.selectors.projects import get_source
from builds.services.cancel import supersede_waiting
from builds.services.projects import lock_project
from builds.states import is_final, valid_next_states
from credits.services import Hold, reserve_each
from flagship.errors.idempotency import IdempotencyKeyExpired
from flagship.services import audit
from jobs import telemetry
from jobs.clients.rows import insert
from jobs.ids import new_id, public_id
from jobs.services.enqueue import enqueue_many
from jobs.trace import current_trace


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """What a client asks for. Without a builder the project's default is used."""

    project_id: uuid.UUID
    source_id: uuid.UUID
    builder: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Remembered:
    """What the drafts of one transaction have looked up: a batch of like builds asks once."""

    _sources: dict[tuple[uuid.UUID, uuid.UUID], Source] = field(default_factory=dict)
    _estimates: dict[tuple[uuid.UUID, str, int], int] = field(default_factory=dict)

    def source(self, project: Project, source_id: uuid.UUID) -> Source:
        """Return a source of the project. Raises: SourceNotFound."""
        key = (project.id, source_id)
        if key not in self._sources:
            self._sources[key] = get_source(
                organization_id=project.organization_id, project_id=project.id, source_id=source_id
            )
        return self._sources[key]

    def estimate(self, project: Project, builder: str, unpacked_bytes: int) -> int:
        """Return what a build is likely to cost. Units: whole credits."""
        key = (project.id, builder, unpacked_bytes)
        if key not in self._estimates:
            self._estimates[key] = estimate_build(
                project_id=project.id, builder=builder, unpacked_bytes=unpacked_bytes
            ).likely
        return self._estimates[key]


def create_build(
    *,
    organization_id: uuid.UUID,
    order: BuildOrder,
    actor: str,
    idempotency_key: str = "",
    rebuild_of: uuid.UUID | None = None,
) -> Build:
    """Accept a build of a source: it is queued, paid for and will end.

    A key that has made a build makes no other, also when its stored answer has gone. Where the
    project says that the newest wins, its waiting builds are cancelled for this one.

    Raises: ProjectNotFound, SourceNotFound, UnknownBuilder, BuilderOptionsInvalid,
    BuildAlreadyRunning, IdempotencyKeyExpired, InsufficientCredits. Nothing has changed then.
    Source: B-01, B-03, B-04, B-06, P02.
    """
    key_hash = hash_key(idempotency_key)
    try:
        with transaction.atomic():
            project = lock_project(organization_id=organization_id, project_id=order.project_id)
            _refuse_used_key(organization_id, key_hash)
            draft = draft_build(project, order, Remembered(), actor=actor, key_hash=key_hash)
            draft.rebuild_of_id = rebuild_of
            place(project, [draft], actor=actor)
            store([draft], actor=actor)
    except IntegrityError as error:
        # Two callers that bypass the edge's own record of the key, at once.
        if "build_idempotency_key_unique" in str(error):
            _refuse_used_key(organization_id, key_hash)
        raise
    return draft


def rebuild(
    *, organization_id: uuid.UUID, build_id: uuid.UUID, actor: str, idempotency_key: str = ""
) -> Build:
    """Build again what an ended build was made of: a new build that names it.

    The old one stays as it ended: a build that has ended is never opened again.

    Raises: BuildNotFound; BuildStillActive; and what create_build raises. Nothing has changed then.
    Source: B-02, B-06.
    """
    original = get_build(organization_id=organization_id, build_id=build_id)
    if not is_final(original.state):
        raise BuildStillActive(
            data={
                "buildId": public_id("build", original.id),
                "currentState": original.state,
                "validNextStates": valid_next_states(original.state),
            }
        )
    return create_build(
        organization_id=organization_id,
        order=BuildOrder(
            original.project_id, original.source_id, original.builder, original.options
        ),
        actor=actor,
        idempotency_key=idempotency_key,
        rebuild_of=original.id,
    )


def draft_build(
    project: Project,
    order: BuildOrder,
    known: Remembered,
    *,
    actor: str,
    key_hash: str | None,
) -> Build:
    """Return the build that an order asks for, not stored yet; the project's row is locked.

    Raises: SourceNotFound, UnknownBuilder, BuilderOptionsInvalid.
    """
    source = known.source(project, order.source_id)
    builder = get_builder(order.builder or project.default_builder)
    trace = current_trace()
    return Build(
        id=new_id(),
        organization_id=project.organization_id,
        project=project,
        source=source,
        builder=builder.name,
        options=builder.validate_options(order.options),
        estimated_credits=known.estimate(project, builder.name, source.unpacked_bytes),
        max_active=project.max_active,
        moved_by=actor,
        created_by=actor,
        idempotency_key_hash=key_hash,
        request_id=trace.request_id,
        correlation_id=trace.correlation_id,
    )


def place(project: Project, drafts: list[Build], *, actor: str) -> None:
    """Give each draft the lowest slot that is free; the project's row is locked.

    Raises: BuildAlreadyRunning when there are not enough of them.
    """
    if project.newest_wins:
        supersede_waiting(project_id=project.id, newer_id=drafts[0].id, actor=actor)
    taken = taken_slots(project_id=project.id)
    free = [slot for slot in range(project.max_active) if slot not in taken]
    if len(free) < len(drafts):
        active = list_active_builds(project_id=project.id)
        eta = estimate_wait(
            organization_id=project.organization_id, project_id=project.id, active=active
        )
        raise BuildAlreadyRunning(
            active_build_ids=[public_id("build", build.id) for build in active],
            eta_s=eta.seconds,
            eta=eta.as_data(),
        )
    for draft, slot in zip(drafts, free, strict=False):
        draft.slot = slot


def store(drafts: Sequence[Build], *, actor: str) -> None:
    """Hold the credits, enqueue the jobs and insert the rows of drafts that have their slots.

    All drafts are of one organization.
    Raises: InsufficientCredits, for the first one that the credits do not reach for.
    """
    job_ids = enqueue_many(
        [RunBuild(build_id=draft.id) for draft in drafts],
        organization_id=drafts[0].organization_id,
        dedupe_keys=[f"{RunBuild.KIND}:{draft.id.hex}" for draft in drafts],
    )
    for draft, job_id in zip(drafts, job_ids, strict=True):
        draft.job_id = job_id
    # Behind the jobs, which are new and nobody's to wait for: from here on the organization's other
    # requests wait for its account.
    held = reserve_each(
        organization_id=drafts[0].organization_id,
        holds=[Hold(draft.estimated_credits, public_id("build", draft.id)) for draft in drafts],
        subject_type="build",
        actor=actor,
    )
    for draft, reserved in zip(drafts, held, strict=True):
        draft.reservation_id = reserved.reservation_id
    insert(drafts)
    _record_created(drafts, actor)


def _refuse_used_key(organization_id: uuid.UUID, key_hash: str | None) -> None:
    if key_hash is None:
        return
    build_id = find_build_of_key(organization_id=organization_id, key_hash=key_hash)
    if build_id is not None:
        raise IdempotencyKeyExpired(data={"buildId": public_id("build", build_id)})


def _record_created(builds: Sequence[Build], actor: str) -> None:
    organization_id = builds[0].organization_id
    audit.record_each(
        [
            audit.Event("build.created", "build", public_id("build", build.id), _created(build))
            for build in builds
        ],
        organization_id=organization_id,
        actor=actor,
    )
    for build in builds:
        telemetry.publish(
            "build.created",
            organization_id=organization_id,
            build_id=public_id("build", build.id),
            project_id=public_id("proj", build.project_id),
            actor=actor,
        )


def _created(build: Build) -> dict[str, Any]:
    """Return what the event tells of a new build."""
    told = {"rebuildOf": public_id("build", build.rebuild_of_id)} if build.rebuild_of_id else {}
    return {
        "projectId": public_id("proj", build.project_id),
        "sourceId": public_id("src", build.source_id),
        "builder": build.builder,
        "estimatedCredits": build.estimated_credits,
        "reservationId": public_id("res", build.reservation_id),
        "jobId": public_id("job", build.job_id),
        **told,
    }
