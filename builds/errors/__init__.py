"""Refusals of the builds app, a file per subject."""

from __future__ import annotations

from builds.errors.archives import (
    ArchiveBomb,
    ArchiveInvalid,
    ArchiveRefused,
    ArchiveTooLarge,
    ArchiveTooManyFiles,
    ArchiveUnsafeEntry,
)
from builds.errors.batches import (
    BatchExceedsMaxActive,
    ReplayDryRunRequired,
    ReplayPlanChanged,
)
from builds.errors.builders import (
    BuilderOptionsInvalid,
    SiteConfigurationRefused,
    UnknownBuilder,
)
from builds.errors.builds import (
    BuildAlreadyRunning,
    BuildFinished,
    BuildNotFound,
    BuildStillActive,
    InvalidStateTransition,
    MaxActiveInUse,
    ProjectNotFound,
    SlugTaken,
    SourceNotFound,
    UploadInvalid,
)
from builds.errors.fetches import (
    FetchAlreadyRunning,
    FetchFinished,
    FetchNotFound,
    GitUnavailable,
    RefInvalid,
    RepositoryRefused,
)
from builds.errors.sandbox import (
    OutputTooLarge,
    OutputUnsafeEntry,
    SandboxUnavailable,
)

__all__ = [
    "ArchiveBomb",
    "ArchiveInvalid",
    "ArchiveRefused",
    "ArchiveTooLarge",
    "ArchiveTooManyFiles",
    "ArchiveUnsafeEntry",
    "BatchExceedsMaxActive",
    "BuildAlreadyRunning",
    "BuildFinished",
    "BuildNotFound",
    "BuildStillActive",
    "BuilderOptionsInvalid",
    "FetchAlreadyRunning",
    "FetchFinished",
    "FetchNotFound",
    "GitUnavailable",
    "InvalidStateTransition",
    "MaxActiveInUse",
    "OutputTooLarge",
    "OutputUnsafeEntry",
    "ProjectNotFound",
    "RefInvalid",
    "ReplayDryRunRequired",
    "ReplayPlanChanged",
    "RepositoryRefused",
    "SandboxUnavailable",
    "SiteConfigurationRefused",
    "SlugTaken",
    "SourceNotFound",
    "UnknownBuilder",
    "UploadInvalid",
]
