"""In which media type an answer is given."""

from __future__ import annotations

from django.utils.http import parse_header_parameters
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from flagship.errors.envelope import PROBLEM


class Negotiation(DefaultContentNegotiation):
    """REST framework's, for which `application/problem+json` says how to refuse and no more.

    Who accepts nothing else is given whatever the route answers with when nothing is wrong (RFC
    9110, section 12.4.1, leaves it to the server). What is no media type is passed over.
    """

    def get_accept_list(self, request: Request) -> list[str]:
        """Return the media types asked for of an answer that is no refusal."""
        asked = [token for token in super().get_accept_list(request) if _is_readable(token)]
        others = [token for token in asked if token.partition(";")[0].strip().lower() != PROBLEM]
        return others or ["*/*"] if asked else []


def _is_readable(token: str) -> bool:
    """Tell whether Django can read it: a parameter in an unknown encoding it cannot."""
    try:
        parse_header_parameters(token)
    except ValueError:
        return False
    return True
