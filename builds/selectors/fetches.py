"""Read fetches."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from builds.errors import FetchNotFound
from builds.models import Fetch
from builds.selectors.projects import get_project


def list_fetches(*, organization_id: uuid.UUID, project_id: uuid.UUID) -> QuerySet[Fetch]:
    """Return a project's fetches, newest first. Raises: ProjectNotFound."""
    get_project(organization_id=organization_id, project_id=project_id)
    return Fetch.objects.for_organization(organization_id).filter(project_id=project_id)


def get_fetch(*, organization_id: uuid.UUID, project_id: uuid.UUID, fetch_id: uuid.UUID) -> Fetch:
    """Return one fetch of a project. Raises: ProjectNotFound; FetchNotFound."""
    found = list_fetches(organization_id=organization_id, project_id=project_id)
    fetch = found.filter(id=fetch_id).first()
    if fetch is None:
        raise FetchNotFound
    return fetch
