"""What the death of a build's job means for the build."""

from __future__ import annotations

import uuid

from builds.errors import BuildFinished, BuildNotFound
from builds.models import Build
from builds.services.moves import fail_build
from builds.states import is_final
from jobs.ids import public_id


def fail_dead_build(*, build_id: uuid.UUID, error_class: str) -> None:
    """Fail the build of a job that died, in the transaction that buries the job.

    Its credits go back. A build that has ended stays as it is. Source: B-02, B-06.
    """
    state = Build.objects.values_list("state", flat=True).filter(id=build_id).first()
    if state is None or is_final(state):
        return
    fail_build(
        build_id=build_id,
        code="BUILD_JOB_DIED",
        message=f"The platform could not run the build ({error_class}). It was not charged.",
    )


def refuse_requeue(*, build_id: uuid.UUID) -> None:
    """Refuse to run a dead letter's build again once the build has ended.

    Raises: BuildFinished; BuildNotFound.
    """
    state = Build.objects.values_list("state", flat=True).filter(id=build_id).first()
    if state is None:
        raise BuildNotFound
    if is_final(state):
        raise BuildFinished(data={"buildId": public_id("build", build_id), "state": state})
