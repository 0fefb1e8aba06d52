"""The guarded client, against a real server that behaves and one that does not. # B-05"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flagship.clients.outgoing import Conversation, Limits, parse_url
from flagship.errors import AddressNotAllowed, RemoteAnswerRefused, RemoteUnreachable
from tests.gitserver import HOST, GitServer, Names, serve, visitors


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    yield from serve(tmp_path_factory.mktemp("server"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def server(running: GitServer, names: Names, settings: Any) -> GitServer:
    """A server that the client is let through to."""
    names.set(HOST, ["127.0.0.1"])
    settings.OUTGOING_PORTS = [443, running.port]
    settings.OUTGOING_CA_FILE = str(running.certificate)
    settings.OUTGOING_TEST_ADDRESSES = ["127.0.0.1"]
    running.asked.clear()
    running.instead = lambda handler: handler.reply(200, b"hello", Content_Type="text/plain")
    return running


def ask(server: GitServer, *, max_bytes: int = 1000, total_s: float = 10.0) -> bytes:
    with (
        Conversation(parse_url(server.url()), Limits(total_s=total_s)) as conversation,
        conversation.ask("GET", "/", max_bytes=max_bytes) as answer,
    ):
        return answer.read()


def test_answer__of_an_allowed_host__is_read(server: GitServer) -> None:
    assert ask(server) == b"hello"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["93.184.215.14", "10.0.0.1"],
        ["::1", "93.184.215.14"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
    ],
)
def test_name__with_any_address_inside__is_not_connected_to(
    addresses: list[str], server: GitServer, names: Names, settings: Any
) -> None:
    settings.OUTGOING_TEST_ADDRESSES = []
    names.set(HOST, addresses)

    with pytest.raises(AddressNotAllowed):
        ask(server)

    assert server.asked == []


def test_name__that_changes_its_mind__is_asked_once(server: GitServer, names: Names) -> None:
    # DNS rebinding: what was checked is what is connected to, in every request.
    names.set(HOST, ["127.0.0.1"], ["10.0.0.1"])
    names.asked.clear()

    with Conversation(parse_url(server.url()), Limits()) as conversation:
        for number in range(3):
            # The server closes in between: each request connects anew.
            headers = {"Connection": "close"}
            with conversation.ask("GET", f"/{number}", max_bytes=99, headers=headers) as answer:
                assert answer.read() == b"hello"

    assert names.asked == [HOST]
    assert server.asked == ["GET /0", "GET /1", "GET /2"]
    with pytest.raises(AddressNotAllowed):
        ask(server)


def test_name__that_leads_nowhere__is_unreachable(server: GitServer, names: Names) -> None:
    names.set(HOST, [])

    with pytest.raises(RemoteUnreachable):
        ask(server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect__inside__is_refused_and_not_followed(status: int, server: GitServer) -> None:
    with visitors() as (port, came):
        location = f"http://127.0.0.1:{port}/latest/meta-data"
        server.instead = lambda handler: handler.reply(status, b"", Location=location)

        with pytest.raises(RemoteAnswerRefused) as refused:
            ask(server)

        assert refused.value.data["status"] == status
        assert came == []


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404])
def test_status__other_than_200__is_no_answer(status: int, server: GitServer) -> None:
    server.instead = lambda handler: handler.reply(status)

    with pytest.raises(RemoteAnswerRefused):
        ask(server)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_status__of_a_passing_fault__may_be_tried_again(status: int, server: GitServer) -> None:
    server.instead = lambda handler: handler.reply(status)

    with pytest.raises(RemoteUnreachable):
        ask(server)


def test_answer__beyond_its_bound__is_cut(server: GitServer) -> None:
    server.instead = lambda handler: handler.reply(200, b"x" * 1001)

    with pytest.raises(RemoteAnswerRefused, match="more than 1000 bytes"):
        ask(server)


def endless(handler: Any) -> None:
    """Chunks for ever, until nobody reads."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    except OSError:
        handler.close_connection = True


def test_answer__without_end__is_cut(server: GitServer) -> None:
    server.instead = endless

    with pytest.raises(RemoteAnswerRefused, match="more than"):
        ask(server, max_bytes=100_000)


def dribbling(head: bytes) -> Any:
    def dribble(handler: Any) -> None:
        try:
            handler.wfile.write(head)
            while True:
                time.sleep(0.1)
                handler.wfile.write(b"x")
                handler.wfile.flush()
        except OSError:
            handler.close_connection = True

    return dribble


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"",
    ],
)
def test_server__that_sends_byte_by_byte__is_left_in_time(head: bytes, server: GitServer) -> None:
    server.instead = dribbling(head)
    started = time.monotonic()

    with pytest.raises((RemoteUnreachable, RemoteAnswerRefused)):
        ask(server, total_s=1.0)

    assert time.monotonic() - started < 5.0


def test_certificate__of_another_name__is_not_believed(server: GitServer, names: Names) -> None:
    names.set("other.example.org", ["127.0.0.1"])
    target = parse_url(server.url().replace(HOST, "other.example.org"))

    with (
        Conversation(target, Limits()) as conversation,
        pytest.raises(RemoteUnreachable, match=r"(?i)certificate"),
        conversation.ask("GET", "/", max_bytes=9),
    ):
        pass

    assert server.asked == []


def test_certificate__of_nobody_known__is_not_believed(server: GitServer, settings: Any) -> None:
    settings.OUTGOING_CA_FILE = ""

    with pytest.raises(RemoteUnreachable, match=r"(?i)certificate"):
        ask(server)

    assert server.asked == []


def test_environment__with_proxy_and_credentials__is_not_listened_to(
    server: GitServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine {HOST} login ann password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    headers: dict[str, str] = {}

    def note(handler: Any) -> None:
        headers.update(handler.headers)
        handler.reply(200, b"hello")

    server.instead = note
    with visitors() as (port, came):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")

        assert ask(server) == b"hello"
        assert came == []

    assert headers.keys() == {"Host", "User-Agent", "Accept-Encoding", "Content-Length"}
