"""Which addresses and URLs are ever called (reliability-security 6.4)."""

from __future__ import annotations

from typing import Any

import pytest

from flagship.clients.outgoing import parse_url
from flagship.clients.outgoing.addresses import is_public
from flagship.errors import UrlNotAllowed

CLOSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 :: ::1 ::127.0.0.1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
::ffff:169.254.169.254 ::ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1
2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1::1 2002:a00:1::1 3fff::1 5f00::1 fc00::1 fd00::1
fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff05::2
1 127.1 0x7f000001 2130706433 017700000001 localhost git.example.org
""".split()  # noqa: SIM905
OPEN = "1.1.1.1 8.8.8.8 93.184.215.14 ::ffff:8.8.8.8 2606:4700:4700::1111 2a00:1450::1".split()  # noqa: SIM905


# B-05, E-08
@pytest.mark.parametrize("address", CLOSED)
def test_address__that_is_not_public__is_never_called(address: str) -> None:
    assert not is_public(address)


# B-05
@pytest.mark.parametrize("address", OPEN)
def test_address__of_the_public_internet__may_be_called(address: str) -> None:
    assert is_public(address)


REFUSED = [
    *(
        "file:///etc/passwd",
        "ext::sh -c id",
        "ssh://git@example.org/a.git",
        "git@example.org:a.git",
    ),
    *(
        "http://example.org/a.git",
        "git://example.org/a.git",
        "ftp://example.org/a",
        "//example.org",
    ),
    *("https:/example.org/a", "https:///a", "https://", "", "--upload-pack=touch x", "-oProxy=x"),
    *("https://user@example.org/a", "https://user:pass@example.org/a", "https://@example.org/a"),
    *("https://127.0.0.1/a", "https://[::1]/a", "https://[fe80::1%25eth0]/a", "https://1.1.1.1/a"),
    *("https://2130706433/a", "https://0x7f000001/a", "https://0177.0.0.1/a", "https://127.1/a"),
    *("https://localhost/a", "https://LOCALHOST/a", "https://intranet/a", "https://example.org./a"),
    *("https://example.org:22/a", "https://example.org:0/a", "https://example.org:99999/a"),
    *("https://example.org:x/a", "https://example.org/a?service=x", "https://example.org/a#x"),
    *(
        "https://example.org/a?",
        "https://example.org/a b",
        "https://example.org/a\n",
        "https://e\tx.org",
    ),
    *(
        "https://example.org\\@127.0.0.1/a",
        "https://exa\u0301mple.org/a",
        "https://\uff11.example.org/",
    ),
    *("https://-a.example.org/", "https://a..example.org/", f"https://{'a' * 64}.org/"),
    *(
        f"https://example.org/{'a' * 500}",
        "https://example.org/%00\x00",
        "https://example.org/a|id",
    ),
    *("https://example.org/`id`", "HTTPS:example.org/a", " https://example.org/a"),
]


# B-05, E-08
@pytest.mark.parametrize("url", REFUSED)
def test_url__that_is_not_plain_https__is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        parse_url(url)


# B-05
@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.org/a/site.git", "example.org", 443, "/a/site.git"),
        ("HTTPS://Example.ORG", "example.org", 443, "/"),
        ("https://example.org:443/a", "example.org", 443, "/a"),
        ("https://xn--bcher-kva.example/~me/site", "xn--bcher-kva.example", 443, "/~me/site"),
        ("https://git.example.org:8443/a", "git.example.org", 8443, "/a"),
    ],
)
def test_url__plain_https__is_read(
    url: str, host: str, port: int, path: str, settings: Any
) -> None:
    settings.OUTGOING_PORTS = [443, 8443]

    target = parse_url(url)

    assert (target.host, target.port, target.path) == (host, port, path)


# B-05
def test_allowance__for_tests__is_off_and_warned_of(settings: Any) -> None:
    from config import settings as shipped
    from flagship.checks import check_outgoing

    assert shipped.OUTGOING_TEST_ADDRESSES == []
    assert (shipped.OUTGOING_PORTS, shipped.OUTGOING_CA_FILE) == ([443], "")
    assert check_outgoing(None) == []
    settings.OUTGOING_TEST_ADDRESSES = ["127.0.0.1"]
    assert [message.id for message in check_outgoing(None)] == ["flagship.W001"]
