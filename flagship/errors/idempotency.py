"""Refusals about an Idempotency-Key (E-01)."""

from __future__ import annotations

from jobs.errors import Refusal


class IdempotencyKeyRequired(Refusal):
    """The route creates or charges and must be safe to send again."""

    code = "IDEMPOTENCY_KEY_REQUIRED"
    status = 400
    title = "This route needs an Idempotency-Key header."
    next_step = "Choose one key per intended effect and send it again on every retry."


class IdempotencyKeyMalformed(Refusal):
    """The header is not a key."""

    code = "IDEMPOTENCY_KEY_MALFORMED"
    status = 400
    title = "The Idempotency-Key is not 16 to 255 printable ASCII characters."
    next_step = "Send 16 to 255 printable ASCII characters, bare or in double quotes."


class IdempotencyKeyReused(Refusal):
    """The key was used on this route for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"
    status = 422
    title = "The Idempotency-Key was used before for another request."
    next_step = "Send the very same request again, or choose a new key for a new one."


class IdempotencyKeyInUse(Refusal):
    """The first request with this key is still being worked on."""

    code = "IDEMPOTENCY_KEY_IN_USE"
    status = 409
    title = "A request with this Idempotency-Key is still being worked on."
    next_step = "Wait as Retry-After says and send the same request with the same key."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyKeyExpired(Refusal):
    """The stored answer has gone; the effect has not."""

    code = "IDEMPOTENCY_KEY_EXPIRED"
    status = 409
    title = "The Idempotency-Key has had its effect, and its answer is no longer kept."
    next_step = (
        "Read what `data` names; GET /v1/idempotency/{key} shows all that the key has made."
        " Choose a new key for a new effect."
    )
    example = {"buildId": "build_0193a1b2c3d474e5a60718293a4b5c6d"}


class IdempotencyKeyNotFound(Refusal):
    """Nothing is known of the key, as far as this caller may know."""

    code = "IDEMPOTENCY_KEY_NOT_FOUND"
    status = 404
    title = "No request with this Idempotency-Key has had an effect here."
    next_step = "Send the request with the key: it was never done, or was refused and undone."
