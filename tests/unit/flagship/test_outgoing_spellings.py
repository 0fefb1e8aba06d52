"""Proof 6: no spelling of an address inside, no redirect and no changing name leads there."""

from __future__ import annotations

import errno
import itertools
import random
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from flagship.clients.outgoing import Conversation, Limits, conversation, parse_url
from flagship.clients.outgoing.addresses import is_public
from flagship.clients.outgoing.resolve import resolve
from flagship.errors import AddressNotAllowed, RemoteAnswerRefused, RemoteUnreachable, UrlNotAllowed
from tests.gitserver import HOST, GitServer, Names, serve, visitors
from tests.processes import wait_until
from tests.soak import full
from tests.unit.flagship.spellings import INSIDE, INSIDE_6, carried, hosts, tricks

PUBLIC = "93.184.215.14"
REFUSED = (UrlNotAllowed, AddressNotAllowed, RemoteUnreachable)
CODES = {kind.code for kind in REFUSED}
TRIES = 1000


class Wires:
    """Every attempt of this process to connect; none but to this machine leaves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[str] = []
        real = socket.socket.connect
        wires = self

        def connect(self: socket.socket, address: Any) -> None:
            wires.tried.append(str(address[0]))
            if not ip_address(address[0]).is_loopback:
                raise OSError(errno.ENETUNREACH, "there is no world here")
            real(self, address)

        monkeypatch.setattr(socket.socket, "connect", connect)


class Resolver(Names):
    """Numbers lead where the system says; names to the address written in them, or as set."""

    def _ask(self, host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if host not in self.answers:
            written = re.match(r"(\d+)[.-](\d+)[.-](\d+)[.-](\d+)\.(nip|sslip)\.", str(host))
            local = str(host).lower().startswith(("localhost", "ip6-"))
            if written:
                self.answers[host] = [[".".join(written.groups()[:4])]]
            elif local:
                self.answers[host] = [["127.0.0.1"]]
            elif re.search(r"[g-wyz]", str(host), re.I) or str(host) == "":
                self.answers[host] = [["169.254.169.254"]]
            else:
                options["flags"] = socket.AI_NUMERICHOST
        return super()._ask(host, port, *rest, **options)


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Wires:
    return Wires(monkeypatch)


@pytest.fixture
def one_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the authorities once: 30 ms a call, and nobody here gets as far as to need them."""
    trust = conversation._trust()
    monkeypatch.setattr(conversation, "_trust", lambda: trust)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    yield from serve(tmp_path_factory.mktemp("server"))


def call(url: str) -> bytes:
    """Call a URL as the platform calls those that clients name."""
    with (
        Conversation(parse_url(url), Limits(total_s=5.0, connect_s=2.0)) as spoken,
        spoken.ask("GET", "/", max_bytes=1000) as answer,
    ):
        return answer.read()


def careless(host: str, port: int) -> None:
    """Connect as a client without a guard does."""
    for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as connection:
            connection.settimeout(2)
            connection.connect(address)


def test_spelling__of_an_address_inside__leads_nowhere(
    wires: Wires, names: Resolver, settings: Any
) -> None:
    # B-05, P-03, E-08
    with visitors() as (port, came):
        settings.OUTGOING_PORTS = [80, 443, port]
        urls = [f"https://{host}:{port}/" for host in hosts()]
        urls += [url for host in ("127.0.0.1", "[::1]", "2130706433") for url in tricks(host, port)]
        got: dict[str, str] = {}
        for url in urls:
            try:
                call(url)
            except REFUSED as refusal:
                got[url] = refusal.code
            else:
                got[url] = "CALLED"

        # The open name in a trick leads to 169.254.169.254 as every name here does.
        assert {url: code for url, code in got.items() if code not in CODES} == {}
        assert len(got) >= 500
        assert (wires.tried, came) == ([], [])
        assert set(got.values()) == {"URL_NOT_ALLOWED", "ADDRESS_NOT_ALLOWED"}


def test_spelling__that_gets_past_the_reader_of_urls__is_stopped_by_the_resolver(
    wires: Wires, names: Resolver
) -> None:
    # B-05: each of the two walls holds alone.
    hosts_in_numbers = [host.strip("[]") for host in hosts()]
    refused = 0
    for host in hosts_in_numbers:
        try:
            address = resolve(host, 443)
        except AddressNotAllowed:
            refused += 1
        except RemoteUnreachable:
            continue
        else:
            # Zeros in front make numbers octal: it leads elsewhere, to an address that is public.
            assert is_public(address) and re.search(r"(^|\.)0[0-7]", host), host

    assert len(hosts_in_numbers) >= 450
    assert refused > 250
    assert wires.tried == []


def test_spelling__without_a_guard__does_lead_there(names: Resolver) -> None:
    # A proof must be able to see: a client without the guard comes by many of these ways.
    reached = []
    with visitors() as (port, came):
        for host in (host.strip("[]") for host in hosts()):
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            if {str(entry[4][0]) for entry in found} <= {"127.0.0.1", "::ffff:127.0.0.1"}:
                careless(host, port)
                reached.append(host)

        wait_until(lambda: len(came) == len(reached), 10.0, lambda: str(reached))

    assert len(reached) >= 15, reached


def test_address__inside_in_every_form__is_not_public() -> None:
    # B-05
    forms = [*INSIDE, *INSIDE_6]
    forms += [form for address in INSIDE for form in carried(IPv4Address(address))]

    assert [form for form in forms if is_public(form)] == []
    assert is_public(PUBLIC) and is_public("2606:4700:4700::1111")


def test_redirect__to_any_spelling__is_refused_and_not_followed(
    running: GitServer, wires: Wires, names: Resolver, settings: Any
) -> None:
    # B-05
    names.set(HOST, ["127.0.0.1"])
    settings.OUTGOING_PORTS = [443, running.port]
    settings.OUTGOING_CA_FILE = str(running.certificate)
    settings.OUTGOING_TEST_ADDRESSES = ["127.0.0.1"]
    statuses = itertools.cycle((301, 302, 303, 307, 308))
    spelled = [host for host in hosts() if host.isascii()]
    assert len(spelled) >= 400
    with (
        visitors() as (port, came),
        Conversation(parse_url(running.url()), Limits(total_s=120.0)) as spoken,
    ):
        # Each is a handshake of its own.
        for host, status in zip(spelled[:: full(5, 1)], statuses, strict=False):
            location = f"https://{host}:{port}/"
            running.instead = _answering(status, location)
            with pytest.raises(RemoteAnswerRefused), spoken.ask("GET", "/", max_bytes=9):
                pass

        assert came == []
    assert names.asked == [HOST]


def _answering(status: int, location: str) -> Any:
    return lambda handler: handler.reply(status, b"", Location=location)


@pytest.mark.parametrize("inside", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_name__that_turns_inward__is_never_followed(
    inside: str, wires: Wires, names: Resolver, one_trust: None, settings: Any
) -> None:
    # B-05: a resolver that answers public then private, 1,000 tries, seeded.
    turns = random.Random(inside)
    outcomes: dict[str, int] = {}
    with visitors() as (port, came):
        settings.OUTGOING_PORTS = [443, port]
        for _ in range(TRIES):
            names.set(HOST, *_turning(turns, inside))
            try:
                call(f"https://{HOST}:{port}/")
                raise AssertionError("it was called")
            except (AddressNotAllowed, RemoteUnreachable) as refusal:
                outcomes[refusal.code] = outcomes.get(refusal.code, 0) + 1

        assert came == []
    assert set(wires.tried) == {PUBLIC}
    assert len(wires.tried) == outcomes["REMOTE_UNREACHABLE"] > TRIES / 2
    assert outcomes["ADDRESS_NOT_ALLOWED"] > TRIES / 20
    assert len(names.asked) == TRIES


def _turning(turns: random.Random, inside: str) -> list[list[str]]:
    """Return what a name leads to, question by question: mostly public first, then private."""
    shape = turns.random()
    if shape < 0.8:
        return [[PUBLIC], [inside]]
    if shape < 0.9:
        return [turns.sample([PUBLIC, inside], 2), [inside]]
    return [[inside], [PUBLIC]] if shape < 0.95 else [[PUBLIC, PUBLIC], [PUBLIC, inside], [inside]]


def test_name__that_turns_inward__leads_a_client_there_that_asks_twice(names: Resolver) -> None:
    # A proof must be able to see: checked with the first answer, connected with the second.
    with visitors() as (port, came):
        for _ in range(20):
            names.set(HOST, [PUBLIC], ["127.0.0.1"])
            assert all(is_public(str(entry[4][0])) for entry in socket.getaddrinfo(HOST, port))
            careless(HOST, port)
        wait_until(lambda: len(came) == 20, 10.0, lambda: str(came))
