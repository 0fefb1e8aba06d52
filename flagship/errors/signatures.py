"""Refusals about signed requests, and about the keys that sign them (E-05, E-06)."""

from __future__ import annotations

from jobs.errors import Refusal

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="flagship"'}


class SignatureInvalid(Refusal):
    """Missing parts, misshapen, unknown key, wrong MAC, another body: one text for all of them."""

    code = "SIGNATURE_INVALID"
    status = 401
    title = "The request's signature does not hold."
    next_step = (
        "Compare your canonical string with docs/signatures.md and its test vectors; check that"
        " the signing key is live and that nothing changed the request on its way."
    )

    def __init__(self) -> None:
        super().__init__(headers=_CHALLENGE)


class TimestampOutOfWindow(Refusal):
    """The request was stamped too long ago, or too far ahead."""

    code = "TIMESTAMP_OUT_OF_WINDOW"
    status = 401
    title = "The request was signed more than 300 seconds before or after the server's time."
    next_step = "Set your clock by `data.serverTime` (Unix seconds), then sign the request anew."
    example = {"serverTime": 1_768_471_800, "windowS": 300}

    def __init__(self, *, server_time: int, window_s: int) -> None:
        data = {"serverTime": server_time, "windowS": window_s}
        super().__init__(data=data, headers=_CHALLENGE)


class NonceReplayed(Refusal):
    """The very same signed request has been taken before."""

    code = "NONCE_REPLAYED"
    status = 401
    title = "A request with this nonce has been taken already."
    next_step = (
        "Sign again with a new nonce and time, and the same Idempotency-Key where there was one:"
        " what the first request did is then answered again, not done again."
    )

    def __init__(self) -> None:
        super().__init__(headers=_CHALLENGE)


class SignatureVersionRetired(Refusal):
    """The client has moved on to v2; its API key or a v1 signature is no longer enough."""

    code = "SIGNATURE_VERSION_RETIRED"
    status = 401
    title = "This client's requests need a v2 signature; v1 alone is no longer taken."
    next_step = (
        "Sign with v2 as docs/signatures.md says, or ask an operator to step one stage back."
    )

    def __init__(self) -> None:
        super().__init__(headers=_CHALLENGE)


class SignatureIncomplete(Refusal):
    """At this stage v2 alone is not enough yet."""

    code = "SIGNATURE_INCOMPLETE"
    status = 401
    title = "At this client's stage a request needs its API key or v1 signature beside v2."
    next_step = "Send both, or ask an operator which stage the client is at."

    def __init__(self) -> None:
        super().__init__(headers=_CHALLENGE)


class SigningKeyNotFound(Refusal):
    """No signing key with this id."""

    code = "SIGNING_KEY_NOT_FOUND"
    status = 404
    title = "The signing key does not exist."
    next_step = "Check the key's id."


class SigningKeyAlreadyRevoked(Refusal):
    """The signing key was revoked before."""

    code = "SIGNING_KEY_ALREADY_REVOKED"
    status = 409
    title = "The signing key is revoked already."
    next_step = "Nothing is left to do; the key has stopped working."


class SigningKeysInUse(Refusal):
    """Two signing keys are live, as many as there can be."""

    code = "SIGNING_KEYS_IN_USE"
    status = 409
    title = "The client has two live signing keys already."
    next_step = "Revoke the one that is no longer used, then issue another."


class SigningClientNotFound(Refusal):
    """The API key has no signing key, so there is no stage to move."""

    code = "SIGNING_CLIENT_NOT_FOUND"
    status = 404
    title = "The client does not sign."
    next_step = "Issue a signing key first."


class StageNotOffered(Refusal):
    """The stage does not follow, or the evidence of the last day does not hold."""

    code = "SIGNATURE_STAGE_NOT_OFFERED"
    status = 409
    title = "The client cannot go to this stage now; it stays where it was."
    next_step = "Read `data.missing`, wait until a day shows it, and try again."
    example = {"stage": "either", "missing": ["mismatch in the last day: 3"]}
