"""Refusals about who is calling."""

from __future__ import annotations

from jobs.errors import Refusal


class Unauthenticated(Refusal):
    """No key, or one that is malformed, unknown, wrong or blocked: one text for all of them."""

    code = "UNAUTHENTICATED"
    status = 401
    title = "The request carries no valid API key."
    next_step = "Send `Authorization: Bearer <API key>` with a key that is not blocked."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="flagship"'})


class Forbidden(Refusal):
    """The caller is known but may not do this."""

    code = "FORBIDDEN"
    status = 403
    title = "The API key does not carry the scope this needs."
    next_step = "Use a key with the scope named in `data.requiredScope`."


class OrganizationNotFound(Refusal):
    """No organization with this id."""

    code = "ORGANIZATION_NOT_FOUND"
    status = 404
    title = "The organization does not exist."
    next_step = "Check the organization's id."


class ApiKeyNotFound(Refusal):
    """No API key with this id."""

    code = "API_KEY_NOT_FOUND"
    status = 404
    title = "The API key does not exist."
    next_step = "Check the key's id."


class ApiKeyAlreadyBlocked(Refusal):
    """The key was blocked before."""

    code = "API_KEY_ALREADY_BLOCKED"
    status = 409
    title = "The API key is blocked already."
    next_step = "Nothing is left to do; the key has stopped working."


class LoginBlocked(Refusal):
    """Too many wrong logins of the name, the address or both; the password was not looked at."""

    code = "LOGIN_BLOCKED"
    status = 429
    title = "Too many logins have failed; this one was not tried."
    next_step = "Wait as Retry-After says, then log in with the right password."
    example = {"retryAfterS": 60}

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            f"Too many logins have failed. Try again in {retry_after_s} s.",
            data={"retryAfterS": retry_after_s},
            headers={"Retry-After": str(retry_after_s)},
        )
