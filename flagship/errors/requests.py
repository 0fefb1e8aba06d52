"""Refusals about the request itself."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.errors import Refusal


class MalformedRequest(Refusal):
    """The request cannot be understood below the level of its fields."""

    code = "MALFORMED_REQUEST"
    status = 400
    title = "The request cannot be understood."
    next_step = "Correct the request; the message names what is wrong."


class MalformedJson(Refusal):
    """The body is not strict JSON."""

    code = "MALFORMED_JSON"
    status = 400
    title = "The body is not valid JSON."
    next_step = "Send one UTF-8 JSON value without duplicate names, NaN, NUL or lone surrogates."


class MalformedCursor(Refusal):
    """The page cursor was not made by this API."""

    code = "MALFORMED_CURSOR"
    status = 400
    title = "The cursor is not one this list gave out."
    next_step = "Use `nextCursor` of the page before, or leave `cursor` out to start again."


class NotFound(Refusal):
    """Nothing is at this address, or nothing that the caller may see."""

    code = "NOT_FOUND"
    status = 404
    title = "There is nothing at this address."
    next_step = "Check the path and the ids in it; /v1/schema lists every route."


class MethodNotAllowed(Refusal):
    """The route exists, the method on it does not."""

    code = "METHOD_NOT_ALLOWED"
    status = 405
    title = "This route does not take this method."
    next_step = "Use one of the methods in the Allow header."


class NotAcceptable(Refusal):
    """No representation fits the Accept header."""

    code = "NOT_ACCEPTABLE"
    status = 406
    title = "The answer cannot be given in the format asked for."
    next_step = "Accept application/json."


class LengthRequired(Refusal):
    """A body without a stated length."""

    code = "LENGTH_REQUIRED"
    status = 411
    title = "The body comes without a Content-Length."
    next_step = "Send Content-Length instead of a chunked body."


class PreconditionFailed(Refusal):
    """Somebody has changed the subject since the caller read it."""

    code = "PRECONDITION_FAILED"
    status = 412
    title = "The subject has changed since it was read; nothing was changed now."
    next_step = "Read it again, decide anew and send its new ETag in If-Match."
    example = {"currentETag": '"proj-8"'}


class PayloadTooLarge(Refusal):
    """The body is over the route's limit; it was not read."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413
    title = "The body is larger than this route takes."
    next_step = "Send at most `data.limitBytes` bytes."

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The body is larger than the {limit_bytes} bytes this route takes.",
            data={"limitBytes": limit_bytes},
        )


class UnsupportedMediaType(Refusal):
    """The route does not read this Content-Type or Content-Encoding."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415
    title = "This route does not read the body's media type or encoding."
    next_step = "Send the Content-Type the route documents, without Content-Encoding."


class ValidationFailed(Refusal):
    """Fields are missing, unknown, of the wrong type or out of range."""

    code = "VALIDATION_FAILED"
    status = 422
    title = "Fields of the request are not valid."
    next_step = "Correct the fields named in `data.fields`."

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        told = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items())
        super().__init__(f"The request is not valid: {told}", data={"fields": dict(fields)})


class RateLimited(Refusal):
    """More requests than a policy lets through; this one was not worked on, nor counted."""

    code = "RATE_LIMITED"
    status = 429
    title = "Too many requests."
    next_step = "Wait as Retry-After says; `data` names the policy and what is used of it."
    example = {
        "policy": "key",
        "limit": 1200,
        "windowS": 60,
        "used": 1200,
        "remaining": 0,
        "retryAfterS": 7,
    }
