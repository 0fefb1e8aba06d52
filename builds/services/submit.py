"""Accept a build: slot, credits, row, audit event and job in one transaction (B-06)."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from builds.builders import get_builder
from builds.errors import BuildAlreadyRunning
from builds.models import Build, Project, Source
from builds.payloads import RunBuild
from builds.pricing import estimate_credits
from builds.selectors.builds import estimate_wait_s, find_build_of_key, list_active_builds
from builds.selectors.projects import get_source
from builds.services.projects import lock_project
from credits.services import reserve_credits
from flagship.errors.idempotency import IdempotencyKeyExpired
from flagship.services import audit
from jobs import telemetry
from jobs.ids import new_id, public_id
from jobs.services.enqueue import enqueue
from jobs.trace import current_trace


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """What a client asks for. Without a builder the project's default is used."""

    project_id: uuid.UUID
    source_id: uuid.UUID
    builder: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def create_build(
    *, organization_id: uuid.UUID, order: BuildOrder, actor: str, idempotency_key: str = ""
) -> Build:
    """Accept a build of a source: it is queued, paid for and will end.

    A key that has made a build makes no other, also when its stored answer has gone.

    Raises: ProjectNotFound, SourceNotFound, UnknownBuilder, BuilderOptionsInvalid,
    BuildAlreadyRunning, IdempotencyKeyExpired, InsufficientCredits. Nothing has changed then.
    Source: B-01, B-03, B-04, B-06, P02.
    """
    key_hash = _hash_key(idempotency_key)
    try:
        with transaction.atomic():
            _refuse_used_key(organization_id, key_hash)
            return _create(organization_id, order, actor, key_hash)
    except IntegrityError as error:
        # Two callers that bypass the edge's own record of the key, at once.
        if "build_idempotency_key_unique" in str(error):
            _refuse_used_key(organization_id, key_hash)
        raise


def _create(
    organization_id: uuid.UUID, order: BuildOrder, actor: str, key_hash: str | None
) -> Build:
    project = lock_project(organization_id=organization_id, project_id=order.project_id)
    source = get_source(
        organization_id=organization_id, project_id=project.id, source_id=order.source_id
    )
    builder = get_builder(order.builder or project.default_builder)
    options = builder.validate_options(order.options)
    slot = _free_slot(project)
    build = _draft(project, source, actor, key_hash)
    build.builder, build.options, build.slot = builder.name, options, slot
    build.estimated_credits = estimate_credits(
        builder=builder.name, unpacked_bytes=source.unpacked_bytes
    )
    build.reservation_id = reserve_credits(
        organization_id=organization_id,
        amount_credits=build.estimated_credits,
        subject_type="build",
        subject_id=public_id("build", build.id),
        actor=actor,
    ).reservation_id
    build.job_id = enqueue(
        RunBuild(build_id=build.id),
        organization_id=organization_id,
        dedupe_key=f"{RunBuild.KIND}:{build.id.hex}",
    ).id
    build.save(force_insert=True)
    _record_created(build, actor)
    return build


def _draft(project: Project, source: Source, actor: str, key_hash: str | None) -> Build:
    trace = current_trace()
    return Build(
        id=new_id(),
        organization_id=project.organization_id,
        project=project,
        source=source,
        max_active=project.max_active,
        moved_by=actor,
        created_by=actor,
        idempotency_key_hash=key_hash,
        request_id=trace.request_id,
        correlation_id=trace.correlation_id,
    )


def _free_slot(project: Project) -> int:
    """Return the lowest free slot; the project's row is locked. Raises: BuildAlreadyRunning."""
    active = list_active_builds(project_id=project.id)
    taken = {build.slot for build in active}
    for slot in range(project.max_active):
        if slot not in taken:
            return slot
    raise BuildAlreadyRunning(
        active_build_ids=[public_id("build", build.id) for build in active],
        eta_s=estimate_wait_s(project_id=project.id, active=active),
    )


def _hash_key(key: str) -> str | None:
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def _refuse_used_key(organization_id: uuid.UUID, key_hash: str | None) -> None:
    if key_hash is None:
        return
    build = find_build_of_key(organization_id=organization_id, key_hash=key_hash)
    if build is not None:
        raise IdempotencyKeyExpired(data={"buildId": public_id("build", build.id)})


def _record_created(build: Build, actor: str) -> None:
    audit.record(
        action="build.created",
        subject_type="build",
        subject_id=public_id("build", build.id),
        organization_id=build.organization_id,
        actor=actor,
        data={
            "projectId": public_id("proj", build.project_id),
            "sourceId": public_id("src", build.source_id),
            "builder": build.builder,
            "estimatedCredits": build.estimated_credits,
            "reservationId": public_id("res", build.reservation_id),
            "jobId": public_id("job", build.job_id),
        },
    )
    telemetry.publish(
        "build.created",
        organization_id=build.organization_id,
        build_id=public_id("build", build.id),
        project_id=public_id("proj", build.project_id),
        actor=actor,
    )
