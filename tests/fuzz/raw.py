"""Requests that are barely requests, on raw sockets, and what may be answered to them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from builds.management.demo.sites import SITES
from tests.fuzz.document import BELOW, UNREAD, UNROUTED, Document, Operation
from tests.fuzz.drafts import Draft, World
from tests.fuzz.ground import Ground
from tests.fuzz.mutations import make_request
from tests.fuzz.tally import Tally
from tests.fuzz.wire import Reply, describe, exchange

PART: Final = "raw"
CLIENTS: Final = 8
ARCHIVE: Final = "mdn-beginner-site.tar.gz"
STREAMING_EACH: Final = 10
"""So many requests go to the process that serves the API for one to that which streams."""


def dice_of(seed: int, number: int) -> random.Random:
    """Return the dice of one request: it can be made again alone."""
    return random.Random(f"{seed}:{number}")


def run_raw(
    *, ground: Ground, document: Document, tally: Tally, seed: int, numbers: Iterable[int]
) -> None:
    """Send the requests with these numbers and count what is answered."""
    archives = [b"PK\x03\x04", (SITES / ARCHIVE).read_bytes()]
    world = World(document, ground.ids, ground.secret, archives)
    lock = threading.Lock()

    def play(number: int) -> None:
        draft = make_request(dice_of(seed, number), world)
        raw, operation = draft.to_bytes(), draft.operation(document)
        port = ground.ports["asginl" if number % STREAMING_EACH == 0 else "wsgi"]
        reply = exchange(port, raw)
        with lock:
            tally.note(PART, operation.name if operation else None, reply.status)
            told = f"{PART} SEED={seed} CASE={number}: {reply.status} {reply.body[:200]!r}"
            if reply.status >= 500 or reply.is_late:
                tally.server_errors.append(f"{told} to {describe(raw)}")
            elif problem := undocumented(draft, operation, reply, document):
                tally.undocumented.append(f"{told}: {problem}, to {describe(raw)}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(play, numbers):
            pass
    if not ground.is_alive():
        tally.server_errors.append(f"{PART} SEED={seed}: a server ended")


def undocumented(
    draft: Draft, operation: Operation | None, reply: Reply, document: Document
) -> str | None:
    """Say what is undocumented about an answer; None where nothing is.

    What the HTTP server refuses by itself has no body of ours. A request whose first line was
    spoiled may be for anything: of it only the shape of a refusal is known.
    """
    code = reply.code()
    if code is None:
        if reply.status in BELOW and not reply.body:
            return None
    elif code not in document.codes:
        return f"code {code} is not in the catalogue"
    if operation is not None:
        return operation.judge(reply.status, code)
    if draft.is_plain and code not in UNROUTED | UNREAD and reply.status >= 400:
        return "an answer to a request for no operation"
    return None
