"""Ports that stay ours from the moment they are chosen."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


class PortTaken(Exception):
    """Somebody else has the port that was asked for."""


@contextlib.contextmanager
def held_port(wanted: int, *, or_another: bool) -> Iterator[int]:
    """Hold a loopback port that nobody else has: `wanted`, or if allowed whichever is free.

    The socket is bound and never listens, so connections reach only the server that we start.
    That server shares the port because it asks to (SO_REUSEPORT, as granian does); everybody else
    is told that it is in use, also while the server is being restarted.

    Raises: PortTaken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        # As servers bind: a port in TIME_WAIT counts as free, one that is listened on does not.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", wanted))
        except OSError as error:
            if not or_another:
                raise PortTaken(f"port {wanted} is taken; choose another with --port") from error
            holder.bind(("127.0.0.1", 0))
        # Set only now, so that the bind itself shares with nobody.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield int(holder.getsockname()[1])
