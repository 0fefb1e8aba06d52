"""What the parent of the forked commands tells of them."""

from __future__ import annotations

from tests.faults.nursery import Nursery
from tests.processes import Processes


def test_child__that_breaks__shows_where(processes: Processes) -> None:
    with Nursery(processes) as nursery:
        child = nursery.start("shell", "-c", "raise RuntimeError('seen')")

        assert child.wait() == 1
        assert "RuntimeError: seen" in child.output()
        assert "Traceback" in child.output()
