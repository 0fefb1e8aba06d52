"""Answers where the request may have been right: contention, outage, defect."""

from __future__ import annotations

from jobs.errors import Refusal


class Conflict(Refusal):
    """A database rule refused the change and no service had a better name for it."""

    code = "CONFLICT"
    status = 409
    title = "The request conflicts with what is stored; nothing was changed."
    next_step = "Read the subject again and decide anew."


class ResourceBusy(Refusal):
    """A row was locked for longer than a request waits."""

    code = "RESOURCE_BUSY"
    status = 409
    title = "Another request is changing the same subject; nothing was changed."
    next_step = "Wait as Retry-After says and send the same request again."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class InternalError(Refusal):
    """A defect. Logged with its traceback; nothing of it is told."""

    code = "INTERNAL_ERROR"
    status = 500
    title = "The server failed at this request; nothing was changed."
    next_step = "Send it again later; name the request id when reporting it."


class ServiceUnavailable(Refusal):
    """The database cannot be reached, or was lost while it worked on the request."""

    code = "SERVICE_UNAVAILABLE"
    status = 503
    title = "The service cannot answer now; the outcome of a change may be unknown."
    next_step = "Wait as Retry-After says; send the same request with the same Idempotency-Key."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "2"})


class NotReady(Refusal):
    """What this process needs does not answer."""

    code = "NOT_READY"
    status = 503
    title = "This process is not ready to take requests."
    next_step = "Wait; `data.checks` names what does not answer."
