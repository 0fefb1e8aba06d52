"""Runs of build jobs without a worker around them."""

from __future__ import annotations

import uuid

from django.db import connection

from builds.clients.storage import StoredArtifact, artifact_path
from builds.models import Build
from flagship.models import AuditEvent
from jobs.context import JobContext
from jobs.ids import public_id
from jobs.services.claim import claim
from jobs.worker.run import Run


def claim_run(build: Build) -> JobContext:
    """Claim the build's job as a worker would; return the context of that run."""
    claimed = claim(job_id=build.job_id, worker="test", lease_s=60)
    assert claimed is not None
    return Run(claimed).context()


def lose_lease(build: Build) -> None:
    """Let the sweeper take the job back, as after a lost worker."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET state = 'pending', lease_owner = '', lease_until = NULL,"
            " next_attempt_at = clock_timestamp() WHERE id = %s",
            [build.job_id],
        )


def artifact(size_bytes: int = 1000) -> StoredArtifact:
    """An artifact that a run has stored."""
    digest = uuid.uuid4().hex * 2
    return StoredArtifact(artifact_path(digest), digest, size_bytes, 3)


def audited(build: Build) -> list[str]:
    """The actions recorded about a build, in their order."""
    subject_id = public_id("build", build.id)
    events = AuditEvent.objects.filter(subject_type="build", subject_id=subject_id)
    return list(events.order_by("id").values_list("action", flat=True))
