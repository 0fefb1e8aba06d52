"""Ways to spoil a request: its first line, headers, lengths, chunks, bytes (P31)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tests.fuzz.drafts import Draft, World, make_draft
from tests.fuzz.values import broken

Mutation = Callable[[random.Random, Draft, World], None]

METHODS: Final = [b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"get", b"PROPFIND",
                  b"DELETE",
                  b"G\x00T", b"", b"POST\t", b"M" * 5000, b"\xff\xfe", b"GET/"]  # fmt: skip
VERSIONS: Final = [b"HTTP/1.0", b"HTTP/1.1 ", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1", b"", b"http/1.1",
                   b"HTTP/1.1\x00", b"HTTPS/1.1"]  # fmt: skip
PATHS: Final = [b"*", b"", b"//", b"/v1/../admin/", b"/v1/%00", b"/v1/%ff%fe", b"/%c0%ae%c0%ae/",
                b"/%",
                b"/v1/%zz", b"/v1/errors#x", b"http://localhost/v1/errors", b"http://[::1",
                                                                                      b"localhost:80",
                b"/v1/\xff", b"/v1/errors?\x00", b"/v1/errors?%00=%ff", b"/v1/ errors",
                b"/v1/errors\x7f",
                b"/v1/" + b"x" * 20_000, b"/" + b"a/" * 5000, b"/v1/errors?" + b"a=1&" * 20_000,
                b"/sites/x/%2e%2e/%2e%2e/etc/passwd", b"/sites/%00/", b"/static/%00",
                b"/static/../x",
                b"/healthz", b"/readyz", b"/admin/login/?next=%ff", b"/v1/docs",
                b"/v1/schema"]  # fmt: skip
VALUES: Final = [b"", b" ", b"\xff\xfe\x80", "ä€".encode(), b"\x01\x02", b"a\x00b", b"x" * 300,
                 b"x" * 60_000, b'"', b'"\\', b"a,b;c=d", b"0", b"-1", b"9" * 30, b"null", b"*",
                 b"()<>@",
                 b"=?utf-8?q?=ff?=", b"\xe4\xb8\xad"]  # fmt: skip
HEADERS: Final[dict[bytes, list[bytes]]] = {
    b"Host": [b"", b"evil.example", b"localhost:99999", b"[::1", b"a@b", b"localhost, x", b"\xff"],
    b"Accept": [b"application/problem+json", b"text/csv", b"*/*;q=0", b"a/b;x*=no''y", b"*", b";",
                b"application/json;q=x", b"application/json;indent=-1", b"\xff/\xff",
                b"a/b," * 3000],
    b"Content-Type": [b"", b"text/plain", b"application/json; charset=nothing", b"a/b; x*=no''%ff",
                      b"application/json; charset=utf-16", b"multipart/form-data",
                      b"multipart/form-data; boundary=", b"multipart/form-data; boundary=\xff",
                      b"application/x-www-form-urlencoded", b"application/json; boundary*0*=x"],
    b"Authorization": [b"Bearer", b"Bearer ", b"Basic !!!", b"Bearer fs_a_b", b"bearer\tx", b"\xff",
                       b"Bearer fs_" + b"a" * 12 + b"_" + b"0" * 64, b"Bearer a\x00b",
                       b"Digest a=b"],
    b"Idempotency-Key": [b"short", b"k" * 256, b'"quoted-quoted-quoted"', b'"\\x' + b"y" * 20,
                         b"\xff" * 20],
    b"If-Match": [b"*", b'"x"', b"W/\"x\"", b"x", b'"' * 3000, b'"a", "b"'],
    b"If-None-Match": [b"*", b'"x"', b"W/", b",,,"],
    b"Last-Event-ID": [b"-1", b"1" * 30, "٣".encode(), b"1.5", b" 1"],
    b"Range": [b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"x=1", b"bytes=" + b"0-1," * 2000],
    b"Expect": [b"100-continue", b"200-ok"],
    b"Upgrade": [b"websocket", b"h2c"],
    b"Connection": [b"keep-alive, Upgrade, HTTP2-Settings", b"Authorization", b"close, close"],
    b"Content-Encoding": [b"gzip", b"identity", b"x, y", b"\xff"],
    b"Cookie": [b"sessionid=\xff; csrftoken=\x01", b"a=b; " * 2000, b"=", b'a="'],
    b"X-Forwarded-For": [b"127.0.0.1", b"\xff", b"::ffff:0", b"1," * 3000],
    b"X-Forwarded-Host": [b"evil.example"],
    b"Forwarded": [b"for=unknown;host=evil"],
    b"X-HTTP-Method-Override": [b"DELETE"],
    b"If-Modified-Since": [b"x", b"Thu, 32 Foo 99999 99:99:99 GMT", b"9" * 400],
    b"Accept-Language": [b"xx-" * 2000, b"\xff"],
    b"Accept-Encoding": [b"gzip;q=2", b"*;q=0"],
    b"x-request-id": [b"req_abc", b"a b", b"x" * 101],
    b"x-correlation-id": [b"<b>", b"ok"],
    b"traceparent": [b"00-0-0-0", b"\xff"],
}  # fmt: skip
LENGTHS: Final = [b"-1", b"+5", b"0x5", b"", b" ", b"5, 5", b"5,6", b"1e3", b"9" * 30,
                  b"1073741824",
                  b"18446744073709551616", b"\xff", b"5 5", "٣".encode()]  # fmt: skip
CODINGS: Final = [b"chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"CHUNKED", b"x",
                  b"",
                  b" chunked", b"chunked, chunked", b"\x0bchunked"]  # fmt: skip
SIZES: Final = [b"0", b"5", b"-1", b"0x5", b"ffffffffffffffff", b"f" * 40, b"zz", b"",
                b"5;ext=\xff",
                b"5 ", b"00000005"]  # fmt: skip


def first_line(dice: random.Random, draft: Draft, world: World) -> None:
    """Another method, target or version."""
    match dice.randrange(4):
        case 0:
            draft.method = dice.choice(METHODS)
        case 1:
            draft.version = dice.choice(VERSIONS)
        case _:
            draft.target = dice.choice(PATHS)
    draft.is_plain = False


def header(dice: random.Random, draft: Draft, world: World) -> None:
    """An odd value of a header that something reads, or of one of ours."""
    name = dice.choice(sorted(HEADERS))
    draft.set(name, dice.choice(HEADERS[name] if dice.random() < 0.7 else VALUES))


def headers(dice: random.Random, draft: Draft, world: World) -> None:
    """Headers that are none, come twice, or are too many."""
    match dice.randrange(7):
        case 0:
            draft.headers.append(dice.choice(draft.headers))
        case 1:
            draft.headers = [each for each in draft.headers if each[0] != b"Host"]
        case 2:
            draft.headers += [(f"X-{n}".encode(), b"y") for n in range(dice.choice([50, 99, 500]))]
        case 3:
            draft.headers.append(
                (dice.choice([b"", b" X", b"X Y", b"X\x00", b"\xff", b"X:"]), b"y")
            )
        case 4:
            draft.headers.append((b"X-Folded", b"a\r\n b"))
        case 5:
            draft.headers.append((b"X-Bare", dice.choice([b"a\nb", b"a\rb", b"\r", b"a\r\n\r\n"])))
        case _:
            draft.headers.append((b"X_Long_" + b"y" * dice.choice([100, 70_000]), b"z"))


def length(dice: random.Random, draft: Draft, world: World) -> None:
    """A length that is none, not that of the body, or two of them."""
    size = len(draft.body)
    match dice.randrange(4):
        case 0:
            lengths = [dice.choice(LENGTHS)]
        case 1:
            lengths = [str(max(0, size + dice.choice([-7, -1, 1, 100]))).encode()]
        case 2:
            lengths = [str(size).encode(), str(size + dice.choice([0, 1])).encode()]
        case _:
            lengths = []
    draft.framing = [(b"Content-Length", each) for each in lengths]


def chunks(dice: random.Random, draft: Draft, world: World) -> None:
    """A coded body, right or wrong, sometimes with a length as well."""
    body = draft.body[:1000] or b"{}"
    draft.framing = [(b"Transfer-Encoding", dice.choice(CODINGS[:1] * 8 + CODINGS))]
    if dice.random() < 0.3:
        draft.framing.append((b"Content-Length", str(len(body)).encode()))
    size = f"{len(body):x}".encode() if dice.random() < 0.5 else dice.choice(SIZES)
    end = dice.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"", b"0\r\nX: \xff\r\n\r\n", b"0\r\n", b"\r\n"])
    draft.body = size + b"\r\n" + body + b"\r\n" + end


def some_bytes(dice: random.Random, draft: Draft, world: World) -> None:
    """Any bytes of the whole request changed, dropped, put in, or cut off."""
    raw = draft.to_bytes()
    for _ in range(dice.choice([1, 1, 2, 8])):
        raw = broken(dice, raw)
    if dice.random() < 0.2:
        raw = raw[: dice.randrange(len(raw) + 1)]
    draft.raw, draft.is_plain = raw, False


def two_at_once(dice: random.Random, draft: Draft, world: World) -> None:
    """A second request behind the first, before it is answered."""
    draft.headers = [each for each in draft.headers if each[0] != b"Connection"]
    draft.raw = draft.to_bytes() + make_draft(dice, world).to_bytes()


MUTATIONS: Final[tuple[tuple[Mutation, int], ...]] = (
    (header, 8),
    (headers, 3),
    (first_line, 3),
    (length, 2),
    (chunks, 2),
    (some_bytes, 3),
    (two_at_once, 1),
)


def make_request(dice: random.Random, world: World) -> Draft:
    """Return a request: a third only with odd values, the others spoiled once or a few times."""
    draft = make_draft(dice, world)
    if dice.random() < 0.34:
        return draft
    kinds, weights = zip(*MUTATIONS, strict=True)
    for mutate in dice.choices(kinds, weights, k=dice.choice([1, 1, 1, 2, 3])):
        if draft.raw is None:
            mutate(dice, draft, world)
    return draft
