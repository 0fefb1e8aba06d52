"""What this domain does when the engine says something has happened."""

from __future__ import annotations

import uuid
from typing import Any

from django.dispatch import receiver

from builds.payloads import RunBuild
from builds.selectors.charges import read_charges
from builds.selectors.keys import read_effects
from builds.services.cancel import confirm_cancelled_job
from credits.services import register_charges
from flagship.selectors.effects import register_effects
from jobs.signals import cancelled

register_charges("build", read_charges)
register_effects("build", scope="builds:read", reader=read_effects)


@receiver(cancelled, dispatch_uid="builds.job_cancelled")
def cancel_build_of_job(
    sender: object, *, job_id: uuid.UUID, kind: str, actor: str, **_: Any
) -> None:
    """A build's job was cancelled, by whomever: the build is, in the same transaction."""
    if kind == RunBuild.KIND:
        confirm_cancelled_job(job_id=job_id, actor=actor)
