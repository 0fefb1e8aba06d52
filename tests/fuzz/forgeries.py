"""Signed requests, each changed in some way: none of them may be accepted (P22).

`run` asks the pure functions, `run_http` a running API. Cases are drawn from a seed: one that is
accepted is printed with everything it takes to play it again.
"""

from __future__ import annotations

import hashlib
import random
import socket
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from flagship.signatures import Presented, Proof, body_holds, canonical_string, examine, sign

NOW_S: Final = 1_768_471_800
SECRETS: Final = (bytes(range(32)), bytes(range(32, 64)))
KEY_IDS: Final = (f"sig_{'0123456789abcdef' * 2}", f"sig_{'fedcba9876543210' * 2}")
FIELDS: Final = tuple(field.name for field in fields(Presented))
# What a header may hold, and some of what it may not.
ALPHABET: Final = string.printable + "\x00\x7f\x80äßΩ…"
TRICKY: Final = (
    *("", " ", ",", "&", "=", "%00", "%2e", "..", "//", "\n", "\r\n", "\x00", "a" * 300, "0", "-1"),
    *("v1=", "v2=", "v3=", "é", "+", "null", "1e9", "\uff10", "\u0661"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A request with its body."""

    presented: Presented
    body: bytes


Sign = Callable[[Presented], str]


def _sign(presented: Presented) -> str:
    """Sign with the secret of the key that the request names."""
    secret = SECRETS[KEY_IDS.index(presented.key_id)]
    mac = sign(canonical_string(presented), secret=secret, version="v2", key_id=presented.key_id)
    return f"v2={mac.hex()}"


def make_case(
    draw: random.Random,
    *,
    signer: Sign = _sign,
    key_id: str = "",
    host: str = "api.example.org",
    now_s: int = NOW_S,
) -> Case:
    """Draw a request that would be accepted as it is."""
    is_write = draw.random() < 0.7
    body = b'{"kind": "jobs.probe", "payload": {"note": "%d"}}' % draw.randrange(10**9)
    body = body if is_write else b""
    presented = Presented(
        method="POST" if is_write else "GET",
        host=host,
        path="/v1/jobs",
        query=draw.choice(("", "limit=5", "a=1&a=2&b=", "limit=5&state=dead&x"))
        if not is_write
        else draw.choice(("", "a=1&b=2")),
        content_type="application/json" if is_write else "",
        idempotency_key=f"fuzz-{draw.getrandbits(64):016x}" if is_write else "",
        key_id=key_id or draw.choice(KEY_IDS),
        timestamp=str(now_s + draw.randint(-200, 200)),
        nonce="".join(draw.choices(string.ascii_letters + string.digits + "-_", k=32)),
        content_sha256=hashlib.sha256(body).hexdigest(),
    )
    return Case(replace(presented, signature=signer(presented)), body)


def change_text(draw: random.Random, text: str, others: str) -> str:
    """Change a text in one of many ways; sometimes into what another request has there."""
    at = draw.randrange(len(text) + 1)
    end = min(len(text), at + draw.randint(1, 8))
    half = text[at:end]
    ways = (
        text[:at] + draw.choice(ALPHABET) + text[at + 1 :],
        text[:at] + draw.choice(ALPHABET) + text[at:],
        text[:at] + text[end:],
        text[:at] + half + half + text[end:],
        text[:at] + half[::-1] + text[end:],
        text[:at] + draw.choice(TRICKY) + text[at:],
        text.swapcase(),
        text[:at],
        f"{text},{text}",
        f"{text}, {others}",
        "&".join(draw.sample(pieces := text.split("&"), len(pieces))),
        others,
        draw.choice(TRICKY),
        "",
    )
    return draw.choice(ways)


def change_bytes(draw: random.Random, body: bytes) -> bytes:
    """Flip a bit, insert, delete, double or empty."""
    at = draw.randrange(len(body) + 1)
    flipped = bytes([body[at] ^ (1 << draw.randrange(8))]) if at < len(body) else b"x"
    ways = (
        body[:at] + flipped + body[at + 1 :],
        body[:at] + bytes([draw.randrange(256)]) + body[at:],
        body[:at] + body[at + 1 :],
        body + body,
        b"",
    )
    return draw.choice(ways)


def forge(draw: random.Random, case: Case, other: Case) -> Case:
    """Change one to three things about a request that was signed."""
    presented, body = case.presented, case.body
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        field = draw.choice((*FIELDS, "body", "digest"))
        if field == "body":
            body = change_bytes(draw, body)
        elif field == "digest":  # body and digest changed together
            body = change_bytes(draw, body)
            digest = hashlib.sha256(body).hexdigest()
            presented = replace(presented, content_sha256=digest)
        else:
            changed = change_text(draw, getattr(presented, field), getattr(other.presented, field))
            presented = replace(presented, **{field: changed})
    return Case(presented, body)


def meaning(case: Case) -> tuple[Any, ...]:
    """Return what a request says, so that a change which changes nothing is no forgery.

    Written apart from the code under test: host and media type have no case, names of a query no
    order, but the values of one name do.
    """
    presented = case.presented
    same = {name: getattr(presented, name) for name in FIELDS}
    same["host"], same["content_type"] = same["host"].lower(), same["content_type"].lower()
    named: dict[str, list[str]] = {}
    for name, value in parse_qsl(presented.query, keep_blank_values=True):
        named.setdefault(name, []).append(value)
    pieces = tuple(sorted(presented.query.split("&")))
    del same["query"]
    order = tuple((name, tuple(values)) for name, values in sorted(named.items()))
    return (*same.values(), pieces, order, case.body)


def forgeries(draw: random.Random, **options: Any) -> tuple[Case, Case]:
    """Draw a signed request and a forgery of it."""
    case, other = make_case(draw, **options), make_case(draw, **options)
    while True:
        forged = forge(draw, case, other)
        if meaning(forged) not in (meaning(case), meaning(other)):
            return case, forged


def is_accepted(case: Case, now_s: int = NOW_S) -> bool:
    """Ask the pure functions, as the edge does."""
    presented = case.presented
    known = presented.key_id in KEY_IDS
    secret = SECRETS[KEY_IDS.index(presented.key_id)] if known else None
    examined = examine(presented, secret=secret, now_s=now_s)
    is_proven = examined.v2 is Proof.VALID and examined.v1 is not Proof.INVALID
    return is_proven and body_holds(presented, hashlib.sha256(case.body).hexdigest())


def run(count: int, seed: int) -> dict[str, Any]:
    """Try `count` forgeries; every request they are made of is itself accepted."""
    draw = random.Random(seed)
    accepted, examples = 0, []
    tried = 0
    while tried < count:
        case, forged = forgeries(draw)
        assert is_accepted(case), f"seed {seed}: a right request was refused: {case}"
        for _ in range(min(8, count - tried)):
            tried += 1
            if is_accepted(forged):
                accepted += 1
                examples.append(repr(forged))
            forged = _another(draw, case)
    return {"cases": tried, "accepted": accepted, "seed": seed, "examples": examples[:3]}


def _another(draw: random.Random, case: Case) -> Case:
    """Draw another forgery of the same request: signing anew is what takes the time."""
    while True:
        forged = forge(draw, case, Case(replace(case.presented, key_id=KEY_IDS[0]), b"{}"))
        if meaning(forged) != meaning(case):
            return forged


# --- Over HTTP --------------------------------------------------------------------------------

NAMES: Final = {
    "host": "Host",
    "content_type": "Content-Type",
    "idempotency_key": "Idempotency-Key",
    "key_id": "X-Key-Id",
    "timestamp": "X-Timestamp",
    "nonce": "X-Nonce",
    "content_sha256": "X-Content-SHA256",
    "signature": "X-Signature",
}


def wire(case: Case) -> bytes:
    """Write a request, right or not, as the bytes that are sent."""
    presented = case.presented
    target = presented.path + (f"?{presented.query}" if presented.query else "")
    lines = [f"{presented.method} {target} HTTP/1.1", "Connection: close"]
    lines += [
        f"{NAMES[field]}: {getattr(presented, field)}"
        for field in NAMES
        if getattr(presented, field)
    ]
    lines += [f"Content-Length: {len(case.body)}"] if case.body else []
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + case.body


def as_received(case: Case) -> Case:
    """Return what a server makes of the bytes: spaces around a value, a fragment, %41 for A, a line
    feed at the end of a line and whatever follows the request are nothing.
    """
    rest = wire(case).lstrip(b"\r\n")
    lines: list[str] = []
    while line := rest.partition(b"\n")[0].rstrip(b"\r"):
        lines.append(line.decode("utf-8", "surrogatepass"))
        rest = rest.partition(b"\n")[2]
    rest = rest.partition(b"\n")[2]
    found = dict.fromkeys(FIELDS, "")
    found["method"], _, target = lines[0].partition(" ") if lines else ("", "", "")
    path, _, found["query"] = target.rpartition(" ")[0].partition("#")[0].partition("?")
    found["path"] = unquote(path)
    headers: dict[str, str] = {}
    for text in reversed(lines[1:]):
        name, _, value = text.partition(":")
        headers[name] = value
    for field, name in NAMES.items():
        found[field] = headers.get(name, "").strip(" \t")
    length = headers.get("Content-Length", "0").strip()
    return Case(Presented(**found), rest[: int(length) if length.isdecimal() else 0])


def run_http(count: int, seed: int, *, port: int, key_id: str, secret: str) -> dict[str, Any]:
    """Send `count` forgeries to an API on this machine, in the name of a client at `v2_only`.

    What they are made of is never sent, so that no nonce is used up and a forgery that were
    accepted would be so for its signature.
    """
    raw, draw = bytes.fromhex(secret), random.Random(seed)

    def signer(presented: Presented) -> str:
        mac = sign(canonical_string(presented), secret=raw, version="v2", key_id=key_id)
        return f"v2={mac.hex()}"

    tally: dict[str, Any] = {"cases": 0, "accepted": 0, "errors": 0, "refused": 0, "seed": seed}
    tally["examples"] = []
    while tally["cases"] < count:
        case, forged = forgeries(
            draw, signer=signer, key_id=key_id, host=f"127.0.0.1:{port}", now_s=int(time.time())
        )
        if meaning(as_received(forged)) == meaning(as_received(case)):
            continue
        status = send(port, wire(forged))
        tally["cases"] += 1
        tally["refused"] += 400 <= status < 500
        if 200 <= status < 300 or status >= 500:
            tally["accepted" if status < 300 else "errors"] += 1
            tally["examples"].append((status, repr(forged)))
    return tally


def send(port: int, request: bytes) -> int:
    """Send bytes; return the status of the first answer, 0 where the server hung up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(request)
            head = connection.recv(64)
        except (ConnectionError, TimeoutError):
            return 0
    parts = head.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1][:3].isdigit() else 0
