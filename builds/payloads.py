"""The work of this domain that runs in the background."""

from __future__ import annotations

import uuid
from typing import ClassVar

from jobs.payloads import Payload


class RunBuild(Payload):
    """Build one source and publish it.

    Safe to run twice: the run starts over in an empty workspace, the artifact is stored under its
    digest, and only the holder of the job's lease can move the build, once.
    """

    KIND: ClassVar[str] = "builds.run_build"

    build_id: uuid.UUID


class SweepWorkspaces(Payload):
    """Remove workspaces of killed workers; what is in use is locked and stays."""

    KIND: ClassVar[str] = "builds.sweep_workspaces"


class FailOrphans(Payload):
    """End builds whose job has ended without them; again, it finds none."""

    KIND: ClassVar[str] = "builds.fail_orphans"


class FetchSource(Payload):
    """Fetch a commit of a git repository and keep its files as a source.

    Safe to run twice: the same commit is the same archive, which a project has once, and the fetch
    leaves its state once.
    """

    KIND: ClassVar[str] = "builds.fetch_source"

    fetch_id: uuid.UUID


class RollUpAnalytics(Payload):
    """Make the analytics of days that may have changed; the same rows whenever it is done."""

    KIND: ClassVar[str] = "builds.roll_up_analytics"
