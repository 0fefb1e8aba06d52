"""Resolve a name once, and only to addresses that may be called."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Final

from django.conf import settings

from flagship.clients.outgoing.addresses import is_public
from flagship.errors import AddressNotAllowed, RemoteUnreachable

TIMEOUT_S: Final = 5.0


def resolve(host: str, port: int, timeout_s: float = TIMEOUT_S) -> str:
    """Return the address to connect to; every one that the name has must be public.

    One private address among public ones refuses all: a resolver that rotates would else be a way
    in. OUTGOING_TEST_ADDRESSES are let through, for tests of a system on one machine.
    Raises: AddressNotAllowed; RemoteUnreachable when there is none, or none in time.
    """
    found = _ask(host, port, min(timeout_s, TIMEOUT_S))
    if any(not is_public(text) and text not in settings.OUTGOING_TEST_ADDRESSES for text in found):
        raise AddressNotAllowed(data={"host": host})
    return found[0]


def _ask(host: str, port: int, timeout_s: float) -> list[str]:
    """Ask the system's resolver, which has no time limit of its own, from a thread that has."""
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[4][0]) for address in found])
        except (OSError, UnicodeError):
            answers.put([])

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(timeout_s, 0.0))
    except queue.Empty:
        found = []
    if not found:
        raise RemoteUnreachable(f"{host} has no address.", data={"host": host})
    return found
