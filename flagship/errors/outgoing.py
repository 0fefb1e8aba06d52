"""Refusals of calls to addresses that clients name (DESIGN section 4)."""

from __future__ import annotations

from jobs.errors import Refusal


class UrlNotAllowed(Refusal):
    """Not an address that is ever called: another scheme, a port, a user, a literal address."""

    code = "URL_NOT_ALLOWED"
    status = 422
    title = "The URL is not one that is called."
    next_step = "Give an https URL with a public host name, without user, port or fragment."
    example = {"url": "ssh://git@example.org/site.git", "reason": "it does not begin with https://"}


class AddressNotAllowed(Refusal):
    """The name leads into a network that is not public; nothing was connected to."""

    code = "ADDRESS_NOT_ALLOWED"
    status = 422
    title = "The host's addresses are not all public."
    next_step = "Give a host that is reachable from the public internet alone."
    example = {"host": "intranet.example.org"}


class RemoteUnreachable(Refusal):
    """Nobody answered, or not in time; it may be better later."""

    code = "REMOTE_UNREACHABLE"
    status = 502
    title = "The other side cannot be reached, or takes too long."
    next_step = "Check that the address answers, and try again."
    example = {"host": "example.org"}


class RemoteAnswerRefused(Refusal):
    """The other side answers what is not taken: a redirect, an error, too much, nonsense."""

    code = "REMOTE_ANSWER_REFUSED"
    status = 502
    title = "The other side's answer is not one that is taken."
    next_step = "Read the message; redirects are not followed, so give the final address."
    example = {"host": "example.org", "status": 302}
