"""The raw client tells one answer from the next."""

from __future__ import annotations

from tests.fuzz.wire import _parse

REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 30\r\n\r\n"
)
NEXT = b"HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 2\r\n\r\n{}"


def test_answer__to_head_with_the_next_one_behind_it__has_no_body() -> None:
    reply = _parse(REFUSED + NEXT, is_head=True, is_over=False)

    assert reply is not None
    assert (reply.status, reply.body, reply.code()) == (401, b"", None)
