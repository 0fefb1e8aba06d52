"""Job queues side by side: ours in each shape, and its peers, on the same servers."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; `--help` says what can be chosen."""
    from bench.jobs.__main__ import main as run

    run(arguments)
