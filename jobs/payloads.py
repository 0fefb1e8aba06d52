"""The validated data of one job."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Payload(BaseModel):
    """Base of every payload: frozen, nothing unknown accepted, explicit kind and version.

    A payload holds ids and scalars only, never model instances or secrets. KIND is the stable
    name of the job type (`<app>.<verb_noun>`); VERSION grows when the meaning of a field does.
    Source: W-03.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_json(self) -> dict[str, Any]:
        """Return the payload as the JSON object that is stored in the job's row."""
        return self.model_dump(mode="json")


class Probe(Payload):
    """A drill: does what it is told and touches nothing, so any number of runs is safe."""

    KIND: ClassVar[str] = "jobs.probe"

    action: Literal["succeed", "fail", "give_up", "exit"] = "succeed"
    sleep_s: float = Field(default=0.0, ge=0, le=3600)
    steps: int = Field(default=1, ge=1, le=100, description="Progress reports while sleeping.")
    fail_times: int = Field(
        default=1_000_000, ge=1, description="Runs that fail before it succeeds."
    )
    note: str = Field(default="", max_length=200)


class RunOnDead(Payload):
    """Owed to a job that was buried while its `on_dead` failed."""

    KIND: ClassVar[str] = "jobs.run_on_dead"

    job_id: str = Field(pattern="^[0-9a-f]{32}$")
    error_class: str
    message: str
    attempts: int


class PruneJobs(Payload):
    """Delete jobs that ended longer ago than JOB_RETENTION_DAYS."""

    KIND: ClassVar[str] = "jobs.prune"


class RunRedrive(Payload):
    """Answer the dead letters of a redrive, at its rate."""

    KIND: ClassVar[str] = "jobs.run_redrive"

    redrive_id: str = Field(pattern="^[0-9a-f]{32}$")


class FoldDeaths(Payload):
    """Add up how often each cause of death was seen."""

    KIND: ClassVar[str] = "jobs.fold_deaths"


class CleanDeadLetters(Payload):
    """Delete old open dead letters of acknowledged groups.

    Without a number of days it is DEAD_LETTER_RETENTION_DAYS; `actor` and `reason` are kept with
    what is deleted.
    """

    KIND: ClassVar[str] = "jobs.clean_dead_letters"

    days: float | None = Field(default=None, ge=1)
    actor: str = Field(default="schedule:jobs.clean-dead-letters", min_length=1, max_length=150)
    reason: str = Field(default="open for too long", min_length=1, max_length=500)
