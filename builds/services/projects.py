"""Create and change projects."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from builds.builders import get_builder
from builds.errors import MaxActiveInUse, ProjectNotFound, SlugTaken
from builds.models import Project
from builds.selectors.builds import list_active_builds
from builds.selectors.projects import etag_of
from flagship.errors.requests import PreconditionFailed
from flagship.services import audit
from jobs.clients.rows import fetch
from jobs.ids import new_id, public_id


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What to change about a project; None leaves a field as it is."""

    name: str | None = None
    max_active: int | None = None
    newest_wins: bool | None = None
    default_builder: str | None = None


def create_project(
    *,
    organization_id: uuid.UUID,
    name: str,
    slug: str = "",
    max_active: int = 1,
    newest_wins: bool = False,
    default_builder: str = "static",
    actor: str,
) -> Project:
    """Create a project; without a slug one is made from the name.

    Raises: UnknownBuilder; SlugTaken. Nothing is stored then.
    """
    get_builder(default_builder)
    project_id = new_id()
    slug = slug or slug_of(name)
    try:
        with transaction.atomic():
            project = Project.objects.create(
                id=project_id,
                organization_id=organization_id,
                name=name,
                slug=slug,
                site_name=f"{slug}-{project_id.hex[-8:]}",
                max_active=max_active,
                newest_wins=newest_wins,
                default_builder=default_builder,
            )
            _record("project.created", project, actor, name=name, slug=slug)
    except IntegrityError as error:
        if "project_slug_unique_in_organization" in str(error):
            raise SlugTaken(data={"slug": slug}) from error
        raise
    return project


def update_project(
    *,
    organization_id: uuid.UUID,
    project_id: uuid.UUID,
    change: ProjectChange,
    actor: str,
    if_match: Collection[str] | None = None,
) -> Project:
    """Change a project's fields that are given.

    With `if_match` only while the project's state is one of these ETags; compared under the lock,
    so that of two clients that have read the same state one gets through.

    `max_active` may be raised at any time and lowered as long as every active build keeps its
    slot; the foreign key that carries it to the builds refuses the rest.

    Raises: ProjectNotFound; UnknownBuilder; MaxActiveInUse; PreconditionFailed. Nothing has
    changed then.
    """
    fields = {name: value for name, value in asdict(change).items() if value is not None}
    if change.default_builder is not None:
        get_builder(change.default_builder)
    with transaction.atomic():
        project = lock_project(organization_id=organization_id, project_id=project_id)
        if if_match is not None and etag_of(project) not in if_match:
            raise PreconditionFailed(data={"currentETag": etag_of(project)})
        if change.max_active is not None:
            _check_slots(project, change.max_active)
        Project.objects.filter(id=project_id).update(**fields, updated_at=Now())
        _record("project.updated", project, actor, **fields)
    project.refresh_from_db()
    return project


def lock_project(*, organization_id: uuid.UUID, project_id: uuid.UUID) -> Project:
    """Lock a project's row: the first lock of everything that moves one of its builds.

    Raises: ProjectNotFound, also for another organization's.
    """
    locked = "WHERE organization_id = %s AND id = %s FOR NO KEY UPDATE"
    found = fetch(Project, locked, (organization_id, project_id))
    if not found:
        raise ProjectNotFound
    return found[0]


def slug_of(name: str) -> str:
    """Make a slug of a name: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:50].strip("-") or "site"


def _check_slots(project: Project, max_active: int) -> None:
    active = list_active_builds(project_id=project.id)
    if any(build.slot is not None and build.slot >= max_active for build in active):
        raise MaxActiveInUse(
            data={
                "maxActive": max_active,
                "activeBuildIds": [public_id("build", build.id) for build in active],
            }
        )


def _record(action: str, project: Project, actor: str, **data: object) -> None:
    audit.record(
        action=action,
        subject_type="project",
        subject_id=public_id("proj", project.id),
        organization_id=project.organization_id,
        actor=actor,
        data=data,
    )
