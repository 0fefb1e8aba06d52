"""Cursors are opaque and strict."""

from __future__ import annotations

import uuid

import pytest

from flagship.api.pagination import decode_cursor, encode_cursor
from flagship.errors import MalformedCursor
from flagship.models import Organization
from jobs.models import FailedJob


def test_cursor__of_either_kind_of_key__comes_back() -> None:
    organization, letter = Organization(id=uuid.uuid4()), FailedJob(id=7)

    assert decode_cursor(Organization, encode_cursor(organization)) == organization.pk
    assert decode_cursor(FailedJob, encode_cursor(letter)) == 7


@pytest.mark.parametrize(
    "text",
    ["x", "%%%", "eA==", "YQ", "ä", "=", "Nw=", " Nw", "Nw ", "N\nw", "KzcK", "MDc", "7" * 5000],
)  # fmt: skip
def test_cursor__that_was_not_given_out__is_refused(text: str) -> None:
    for model in (Organization, FailedJob):
        with pytest.raises(MalformedCursor):
            decode_cursor(model, text)
