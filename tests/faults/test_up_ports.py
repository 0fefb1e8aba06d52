"""Ports of a system: chosen once, lost to nobody, shared with its own servers only."""

from __future__ import annotations

import socket

import pytest

from flagship.management.supervisor.ports import PortTaken, held_port


def share(port: int) -> socket.socket:
    """Listen as granian does."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


# O-09
def test_held_port__free__is_kept_from_others_and_open_to_our_server() -> None:
    with held_port(0, or_another=True) as port:
        for _ in range(2):  # The second time is a server that was restarted.
            with share(port), socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", port))
            with pytest.raises(PortTaken), held_port(port, or_another=False):
                pass
    with socket.create_server(("127.0.0.1", port)):
        pass


# O-09
def test_held_port__taken__gives_another_only_if_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        with held_port(wanted, or_another=True) as port:
            assert port != wanted
        with (
            pytest.raises(PortTaken, match=f"port {wanted} is taken"),
            held_port(wanted, or_another=False),
        ):
            pass
