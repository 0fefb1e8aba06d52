"""Read projects and their sources."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from django.db.models import QuerySet

from builds.errors import ProjectNotFound, SourceNotFound
from builds.models import Project, Source
from jobs.clients.rows import fetch
from jobs.ids import MalformedId, parse_public_id

_OF_PROJECT: Final = "WHERE organization_id = %s AND project_id = %s AND id = %s"


def list_projects(*, organization_id: uuid.UUID) -> QuerySet[Project]:
    """Return the organization's projects, newest first."""
    return Project.objects.for_organization(organization_id)


def get_project(*, organization_id: uuid.UUID, project_id: uuid.UUID) -> Project:
    """Return one project. Raises: ProjectNotFound, also for another organization's."""
    project = list_projects(organization_id=organization_id).filter(id=project_id).first()
    if project is None:
        raise ProjectNotFound
    return project


def get_source(
    *, organization_id: uuid.UUID, project_id: uuid.UUID, source_id: uuid.UUID
) -> Source:
    """Return one source of a project. Raises: SourceNotFound, also for another project's."""
    found = fetch(Source, _OF_PROJECT, (organization_id, project_id, source_id))
    if not found:
        raise SourceNotFound
    return found[0]


def list_projects_by_id(
    *, organization_id: uuid.UUID, project_ids: Sequence[uuid.UUID]
) -> tuple[list[Project], list[uuid.UUID]]:
    """Return the organization's projects in the order of the ids, and the ids that are none of its.

    An id that comes twice counts where it comes first.
    """
    found = list_projects(organization_id=organization_id).in_bulk(list(project_ids))
    wanted = list(dict.fromkeys(project_ids))
    return (
        [found[project_id] for project_id in wanted if project_id in found],
        [project_id for project_id in wanted if project_id not in found],
    )


def etag_of(project: Project) -> str:
    """Return the tag of the project's state: a strong one, since every change is counted."""
    return f'"proj-{project.revision}"'


def find_published_project(*, name: str) -> Project | None:
    """Return the project behind /sites/<name>/: by its site name or its public id."""
    projects = Project.objects.select_related("live_build")
    try:
        return projects.filter(id=parse_public_id("proj", name)).first()
    except MalformedId:
        return projects.filter(site_name=name).first()
