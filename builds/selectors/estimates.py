"""What a build would cost, before it is submitted and while it is (B-09)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from builds.builders import get_builder
from builds.pricing import Estimate, PastBuild, estimate
from builds.selectors.projects import get_project, get_source
from builds.states import BuildState
from jobs.clients.postgres import run

HISTORY_BUILDS: Final = 20
_HISTORY: Final = """
SELECT coalesce(build.charged_credits, 0), source.unpacked_bytes
  FROM builds_build AS build JOIN builds_source AS source ON source.id = build.source_id
 WHERE build.project_id = %s AND build.builder = %s AND build.state = %s
 ORDER BY build.id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A build that may be submitted: of a source, or of one so large that is not there yet.

    Without a builder the project's default is meant. Units: `unpacked_bytes` of all files.
    """

    project_id: uuid.UUID
    source_id: uuid.UUID | None = None
    unpacked_bytes: int = 0
    builder: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def estimate_order(*, organization_id: uuid.UUID, question: Question) -> tuple[str, Estimate]:
    """Return the builder that would build, and what it would cost; refuse what a build would be.

    Raises: ProjectNotFound, SourceNotFound, UnknownBuilder, BuilderOptionsInvalid.
    """
    project = get_project(organization_id=organization_id, project_id=question.project_id)
    unpacked_bytes = question.unpacked_bytes
    if question.source_id is not None:
        unpacked_bytes = get_source(
            organization_id=organization_id, project_id=project.id, source_id=question.source_id
        ).unpacked_bytes
    builder = get_builder(question.builder or project.default_builder)
    builder.validate_options(question.options)
    found = estimate_build(
        project_id=project.id, builder=builder.name, unpacked_bytes=unpacked_bytes
    )
    return builder.name, found


def estimate_build(*, project_id: uuid.UUID, builder: str, unpacked_bytes: int) -> Estimate:
    """Return what a build costs by the project's latest deployed builds with this builder.

    The one function behind the estimate that is asked for and the hold that is taken.
    """
    asked = (project_id, builder, BuildState.DEPLOYED.value, HISTORY_BUILDS)
    history = [PastBuild(charged, size) for charged, size in run(_HISTORY, asked)]
    return estimate(builder=builder, unpacked_bytes=unpacked_bytes, history=history)
