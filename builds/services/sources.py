"""Take over uploaded archives."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.conf import settings
from django.db import transaction

from builds.clients import archives, storage
from builds.models import Source
from builds.selectors.projects import get_project
from flagship.services import audit
from jobs.ids import public_id


def add_source(
    *, organization_id: uuid.UUID, project_id: uuid.UUID, chunks: Iterable[bytes], actor: str
) -> tuple[Source, bool]:
    """Store an archive as a source of the project; say whether it is new there.

    The bytes go to disk under their digest and are inspected there before a row names them; what
    the project already has is the source it already has.

    Raises: ProjectNotFound; ArchiveTooLarge and the other refusals of archives.
    """
    get_project(organization_id=organization_id, project_id=project_id)
    stored = storage.store_source(chunks, settings.SOURCE_ARCHIVE_BYTES)
    summary = archives.inspect_archive(stored.path, archive_limits())
    with transaction.atomic():
        source, is_new = Source.objects.get_or_create(
            organization_id=organization_id,
            project_id=project_id,
            sha256=stored.sha256,
            defaults={
                "kind": summary.kind,
                "size_bytes": stored.size_bytes,
                "unpacked_bytes": summary.unpacked_bytes,
                "file_count": summary.file_count,
            },
        )
        if is_new:
            audit.record(
                action="source.added",
                subject_type="source",
                subject_id=public_id("src", source.id),
                organization_id=organization_id,
                actor=actor,
                data={
                    "projectId": public_id("proj", project_id),
                    "sha256": stored.sha256,
                    "sizeBytes": stored.size_bytes,
                },
            )
    return source, is_new


def archive_limits() -> archives.ArchiveLimits:
    """Return what an archive may be, from the settings."""
    return archives.ArchiveLimits(
        archive_bytes=settings.SOURCE_ARCHIVE_BYTES,
        unpacked_bytes=settings.SOURCE_UNPACKED_BYTES,
        files=settings.SOURCE_FILES,
    )
