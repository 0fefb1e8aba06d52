"""What the builds domain refuses, each with its code, status and next step (E-03)."""

from __future__ import annotations

from typing import Any

from jobs.errors import Refusal


class ProjectNotFound(Refusal):
    """No such project, or another organization's: the answers are identical."""

    code = "PROJECT_NOT_FOUND"
    status = 404
    title = "There is no such project."
    next_step = "Check the project id; GET /v1/projects lists yours."


class SourceNotFound(Refusal):
    """No such source in this project, or another organization's."""

    code = "SOURCE_NOT_FOUND"
    status = 404
    title = "There is no such source in this project."
    next_step = "Upload an archive to POST /v1/projects/{id}/sources and use the id it answers."


class BuildNotFound(Refusal):
    """No such build, or another organization's."""

    code = "BUILD_NOT_FOUND"
    status = 404
    title = "There is no such build."
    next_step = "Check the build id; GET /v1/builds lists yours."


class SlugTaken(Refusal):
    """The organization has a project of this slug."""

    code = "PROJECT_SLUG_TAKEN"
    status = 409
    title = "A project with this slug exists."
    next_step = "Use the existing project or choose another slug."


class MaxActiveInUse(Refusal):
    """More builds are running than the project would allow."""

    code = "PROJECT_MAX_ACTIVE_IN_USE"
    status = 409
    title = "More builds are active than the new limit allows."
    next_step = "Wait for the active builds to end, or cancel them, then lower maxActive."


class BuildAlreadyRunning(Refusal):
    """Every slot of the project is taken by an active build."""

    code = "BUILD_ALREADY_RUNNING"
    status = 429
    title = "The project already has as many active builds as it allows."
    next_step = "Send the request again after Retry-After seconds, or cancel the active build."

    example = {
        "activeBuildIds": ["build_0193a1b2c3d474e5a60718293a4b5c6d"],
        "etaSeconds": 42,
        "eta": {
            "basis": "project",
            "confidence": "high",
            "sampleCount": 20,
            "medianSeconds": 61,
            "earliestSeconds": 38,
            "latestSeconds": 55,
        },
    }

    def __init__(self, *, active_build_ids: list[str], eta_s: int, eta: dict[str, Any]) -> None:
        super().__init__(
            f"The project is building; a slot is expected to be free in {eta_s} s.",
            data={"activeBuildIds": active_build_ids, "etaSeconds": eta_s, "eta": eta},
            headers={"Retry-After": str(eta_s)},
        )


class BuildStillActive(Refusal):
    """Only a build that has ended is done again."""

    code = "BUILD_STILL_ACTIVE"
    status = 409
    title = "The build has not ended; only an ended build is done again."
    next_step = (
        "Wait for the build to end, or cancel it; data.validNextStates says where it may go."
    )
    example = {
        "buildId": "build_0193a1b2c3d474e5a60718293a4b5c6d",
        "currentState": "building",
        "validNextStates": ["deployed", "failed", "cancelled"],
    }


class InvalidStateTransition(Refusal):
    """The build is not in a state from which this move is allowed."""

    code = "INVALID_STATE_TRANSITION"
    status = 409
    title = "The build cannot move to that state."
    next_step = "Read the build's state; data.validNextStates lists where it may go."
    example = {
        "buildId": "build_0193a1b2c3d474e5a60718293a4b5c6d",
        "currentState": "deployed",
        "requestedState": "cancelled",
        "validNextStates": [],
    }

    def __init__(
        self, *, build_id: str, current_state: str, requested_state: str, next_states: list[str]
    ) -> None:
        super().__init__(
            f"A build that is {current_state} cannot become {requested_state}.",
            data={
                "buildId": build_id,
                "currentState": current_state,
                "requestedState": requested_state,
                "validNextStates": next_states,
            },
        )


class BuildFinished(Refusal):
    """A dead letter of a build that has ended is not run again: its credits were given back."""

    code = "BUILD_FINISHED"
    status = 409
    title = "The build has ended and cannot run again."
    next_step = "Build its source again with POST /v1/builds/{id}/rebuild."


class UploadInvalid(Refusal):
    """The request body is not one archive."""

    code = "UPLOAD_INVALID"
    status = 400
    title = "The request does not carry exactly one archive."
    next_step = (
        "Send the archive as the raw body (application/gzip or application/zip), or as the "
        "multipart field `archive`."
    )
