"""Errors of the engine, and the base of every error a caller may see."""

from __future__ import annotations

import math
from typing import Any, ClassVar


class Refusal(Exception):
    """A request that is refused with a catalogued code; nothing has changed when it is raised.

    Subclasses state the code (stable, upper snake case), the HTTP status, a title for the
    catalogue and what the caller should do next. `data` is the machine-readable part of the
    answer, `example` shows it in the documentation, `headers` go onto the HTTP response.
    Source: E-02, E-03.
    """

    code: ClassVar[str] = "REFUSED"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused."
    next_step: ClassVar[str] = "Read the message, correct the request and send it again."
    example: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        message: str = "",
        *,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or self.title
        self.data = data or {}
        self.headers = headers or {}
        super().__init__(self.message)


class GiveUp(Exception):
    """Raised by a handler: this error will not heal, bury the job without further attempts."""


class Snooze(Exception):
    """Raised by a handler: come back later, no attempt is used.

    Units: `delay_s` in seconds. A time that has passed is none; after a year the job comes back
    in any case. Raises: ValueError for what is no finite number: that run has failed.
    """

    def __init__(self, delay_s: float, reason: str = "") -> None:
        if not math.isfinite(delay_s):
            raise ValueError(f"a snooze lasts a number of seconds, not {delay_s}")
        self.delay_s = delay_s
        self.reason = reason
        super().__init__(f"snoozed for {delay_s:g} s: {reason}")


class Throttled(Exception):
    """Raised by a handler: a remote service asked to wait; no attempt is used (W-16).

    Told apart from a failure, which it is not, and from a snooze, which nobody asked for: the
    attempt ends as `throttled` and the log says so in a line of its own.
    Units: `retry_after_s` in seconds, as the service said; None where it did not. Whatever it is,
    the wait is brought within bounds (`jobs.retry.throttle_wait_s`).
    """

    def __init__(self, retry_after_s: float | None, service: str = "") -> None:
        self.retry_after_s = retry_after_s
        self.service = service
        how_long = "" if retry_after_s is None else f" {retry_after_s:g} s"
        super().__init__(f"{service or 'a service'} asked to wait{how_long}")


class Interrupted(BaseException):
    """The engine stops a running handler.

    A BaseException, so that a handler's broad `except Exception` cannot swallow it (W-07).
    """


class JobTimedOut(Interrupted):
    """The job ran past its `timeout_s`; counts as a failed attempt."""


class JobCancelled(Interrupted):
    """A running job was asked to stop and confirms by ending."""


class LeaseLost(Interrupted):
    """Another worker owns the job now; whatever this one would write is refused."""


class HandedBack(Interrupted):
    """The worker is stopping and gives the job back; not counted as an attempt."""


class InvalidPayload(Refusal):
    """The payload does not match the schema of its kind (W-03)."""

    code = "INVALID_PAYLOAD"
    status = 422
    title = "The payload does not match the schema of its kind."
    next_step = "Correct the field named in data.field; GET /v1/jobs/kinds has the schemas."
    example = {
        "kind": "jobs.probe",
        "field": "sleep_s",
        "problems": [{"field": "sleep_s", "problem": "Input should be greater than or equal to 0"}],
    }


class UnknownKind(Refusal):
    """No handler is registered for the kind, or it is not offered to clients."""

    code = "UNKNOWN_JOB_KIND"
    status = 422
    title = "No such kind of job is offered."
    next_step = "Use one of the kinds in data.kinds."
    example = {"kinds": ["jobs.probe"]}


class JobNotFound(Refusal):
    """No job of the caller's organization has this id."""

    code = "JOB_NOT_FOUND"
    status = 404
    title = "The job does not exist."
    next_step = "Check the id; list your jobs with GET /v1/jobs."


class JobAlreadyFinished(Refusal):
    """The job has ended, there is nothing left to cancel."""

    code = "JOB_ALREADY_FINISHED"
    status = 409
    title = "The job has already ended."
    next_step = "Read the job to see how it ended; data.state names its state."
    example = {"state": "succeeded"}


class DeadLetterNotFound(Refusal):
    """No dead letter has this id, or none that the caller may see."""

    code = "DEAD_LETTER_NOT_FOUND"
    status = 404
    title = "The dead letter does not exist."
    next_step = "Check the id in the list of dead letters."


class DeadLetterNotOpen(Refusal):
    """Somebody has requeued or discarded the dead letter already (D-03)."""

    code = "DEAD_LETTER_NOT_OPEN"
    status = 409
    title = "The dead letter has already been dealt with."
    next_step = "Nothing is left to do; data.state says what was decided."


class FailureGroupNotFound(Refusal):
    """No group has this fingerprint (D-07)."""

    code = "FAILURE_GROUP_NOT_FOUND"
    status = 404
    title = "The failure group does not exist."
    next_step = "Check the fingerprint in the list of failure groups."


class FailureGroupAcknowledged(Refusal):
    """Somebody has acknowledged the group; the first one stands (D-07)."""

    code = "FAILURE_GROUP_ACKNOWLEDGED"
    status = 409
    title = "The failure group is acknowledged already."
    next_step = "Leave it, or withdraw it first; data says since when and by whom."
    example = {"acknowledgedAt": "2026-01-15T09:58:00.000Z", "acknowledgedBy": "user:ann"}


class FailureGroupNotAcknowledged(Refusal):
    """There is no acknowledgement to withdraw (D-07)."""

    code = "FAILURE_GROUP_NOT_ACKNOWLEDGED"
    status = 409
    title = "The failure group is not acknowledged."
    next_step = "Nothing is left to do; it is listed as new."


class ReasonRequired(Refusal):
    """A dead letter is not discarded, nor a queue paused, without a reason (D-04, W-17)."""

    code = "REASON_REQUIRED"
    status = 422
    title = "A reason is required."
    next_step = "Say why in a few words; the reason is kept with the decision."


class NothingMatches(Refusal):
    """A filter matches no open dead letter, so that there is nothing to answer (D-03)."""

    code = "NOTHING_MATCHES"
    status = 409
    title = "No open dead letter matches the filter."
    next_step = "Widen the filter; what has been answered already is left alone."


class RedriveNotFound(Refusal):
    """No redrive has this id."""

    code = "REDRIVE_NOT_FOUND"
    status = 404
    title = "The redrive does not exist."
    next_step = "Check the id in the list of redrives."


class RedriveRunning(Refusal):
    """One redrive at a time runs over a queue, and one over all of them (D-07)."""

    code = "REDRIVE_RUNNING"
    status = 409
    title = "Another redrive runs over the same queue."
    next_step = "Wait for it, or abort it; data.redriveId names it."
    example = {"redriveId": "redrive_0193a1b2c3d474e5a60718293a4b5c6d"}


class RedriveNotProposed(Refusal):
    """The redrive does not wait for an approval."""

    code = "REDRIVE_NOT_PROPOSED"
    status = 409
    title = "The redrive does not wait for an approval."
    next_step = "Nothing is left to do; data.state says where it stands."
    example = {"state": "running"}


class RedriveOver(Refusal):
    """The redrive has ended; there is nothing left to abort."""

    code = "REDRIVE_OVER"
    status = 409
    title = "The redrive has already ended."
    next_step = "Nothing is left to do; data.state says how it ended."
    example = {"state": "finished"}


class ApprovalByAnother(Refusal):
    """Who asks for a large redrive does not approve it (D-06)."""

    code = "APPROVAL_BY_ANOTHER"
    status = 403
    title = "A redrive is approved by another person than asked for it."
    next_step = "Ask somebody else who may approve redrives."


class DedupeKeyInUse(Refusal):
    """The dedupe key belongs to another job: another kind or another payload."""

    code = "DEDUPE_KEY_IN_USE"
    status = 409
    title = "Another job has this dedupe key."
    next_step = "Use another key, or the job in data.jobId; data.differs says how it differs."
    example = {
        "jobId": "job_0193a1b2c3d474e5a60718293a4b5c6d",
        "kind": "jobs.probe",
        "state": "running",
        "createdAt": "2026-01-15T10:00:00.000Z",
        "differs": ["payload.note"],
    }


class JobsInFlightLimit(Refusal):
    """The organization has as many unfinished jobs as it may (W-10)."""

    code = "JOBS_IN_FLIGHT_LIMIT"
    status = 429
    title = "The organization has as many jobs in flight as it may."
    next_step = "Wait as Retry-After says, or cancel a job; `data` has the usage."
    example = {"limit": 50, "inFlight": 50, "retryAfterS": 3}

    def __init__(self, *, limit: int, in_flight: int, retry_after_s: int) -> None:
        super().__init__(
            f"{in_flight} of {limit} jobs are in flight.",
            data={"limit": limit, "inFlight": in_flight, "retryAfterS": retry_after_s},
            headers={"Retry-After": str(retry_after_s)},
        )


class QueueNotFound(Refusal):
    """No queue has this name (W-17)."""

    code = "QUEUE_NOT_FOUND"
    status = 404
    title = "The queue does not exist."
    next_step = "Use one of the names in data.queues."
    example = {"queues": ["flagship:audit", "flagship:usage"]}


class QueueAlreadyPaused(Refusal):
    """The queue is paused; the first pause stands (W-17)."""

    code = "QUEUE_ALREADY_PAUSED"
    status = 409
    title = "The queue is paused already."
    next_step = "Leave it, or resume it first; data says since when and until when."
    example = {
        "queue": "flagship:content",
        "pausedAt": "2026-01-15T09:58:00.000Z",
        "pausedBy": "admin:ann",
        "reason": "The model provider is down",
        "resumeAt": None,
    }


class QueueNotPaused(Refusal):
    """There is no pause to end (W-17)."""

    code = "QUEUE_NOT_PAUSED"
    status = 409
    title = "The queue is not paused."
    next_step = "Nothing is left to do; its jobs are being run."
    example = {"queue": "flagship:content"}


class ScheduleNotFound(Refusal):
    """No schedule has this name (W-12)."""

    code = "SCHEDULE_NOT_FOUND"
    status = 404
    title = "The schedule does not exist."
    next_step = "Use one of the names on the console's page of schedules."


class TooManyStreams(Refusal):
    """The key, or the process, has as many event streams open as it may."""

    code = "TOO_MANY_STREAMS"
    status = 429
    title = "Too many event streams are open."
    next_step = "Close one, or wait as Retry-After says; data.per says whose limit it is."


class StreamElsewhere(Refusal):
    """An event stream was asked of a process that does not stream.

    No redirect: where the other process has a port or a name of its own, clients follow one without
    their Authorization header and are told that they have no key; where it has not, they would come
    back here for ever.
    """

    code = "STREAM_ELSEWHERE"
    status = 421
    title = "Event streams are served by another process."
    next_step = "Open data.streamUrl with the same headers."
    example: ClassVar[dict[str, Any]] = {
        "streamUrl": "https://flagship.example/v1/telemetry/stream"
    }

    def __init__(self, stream_url: str) -> None:
        super().__init__(data={"streamUrl": stream_url})
