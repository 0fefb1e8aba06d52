"""Refusals of sources that are fetched from git repositories (B-05)."""

from __future__ import annotations

from jobs.errors import Refusal


class FetchNotFound(Refusal):
    """No such fetch in this project, or another organization's."""

    code = "FETCH_NOT_FOUND"
    status = 404
    title = "There is no such fetch in this project."
    next_step = "Check the fetch id; GET /v1/projects/{id}/fetches lists yours."


class FetchAlreadyRunning(Refusal):
    """One fetch of a project at a time."""

    code = "FETCH_ALREADY_RUNNING"
    status = 429
    title = "The project is fetching a source already."
    next_step = "Wait for that fetch, or send the request again after Retry-After seconds."

    def __init__(self, *, fetch_id: str, retry_after_s: int) -> None:
        super().__init__(data={"fetchId": fetch_id}, headers={"Retry-After": str(retry_after_s)})


class RefInvalid(Refusal):
    """Not the name of a branch or tag, nor a commit."""

    code = "REF_INVALID"
    status = 422
    title = "The ref is not a plain name of a branch or tag, nor a commit's 40 digits."
    next_step = "Give a branch, a tag, a whole commit id, or nothing for the default branch."
    example = {"ref": "--upload-pack=x"}


class RepositoryRefused(Refusal):
    """No repository, or not one that can be used."""

    code = "REPOSITORY_REFUSED"
    status = 422
    title = "The repository cannot be used."
    next_step = "Check the URL and the ref; the repository has to be public."


class GitUnavailable(Refusal):
    """A worker without git."""

    code = "GIT_UNAVAILABLE"
    status = 503
    title = "Git is not installed where sources are fetched."
    next_step = "An operator has to install git beside the workers."


class FetchFinished(Refusal):
    """A dead letter of a fetch that has ended is not run again."""

    code = "FETCH_FINISHED"
    status = 409
    title = "The fetch has ended and cannot run again."
    next_step = "Start a new one with POST /v1/projects/{id}/fetches."
