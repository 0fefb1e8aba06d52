# mypy: ignore-errors
"""The same SQL without any queue: `python -m bench.jobs.floor INDEX OF COUNT` is one process."""

from __future__ import annotations

import os
import sys
import threading
import time

from bench.jobs.peers import effects

THREADS = 4


def main(index: int, processes: int, count: int, start_at: float) -> None:
    """Do this process's share of `count` jobs in four threads, from a common moment on."""
    lanes = processes * THREADS

    def lane(first: int) -> None:
        effects.connection()
        time.sleep(max(0.0, start_at - time.monotonic()))
        for number in range(first, count, lanes):
            effects.durable(number)

    threads = [
        threading.Thread(target=lane, args=(index * THREADS + offset,)) for offset in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        int(os.environ["BENCH_COUNT"]),
        float(os.environ["BENCH_START_AT"]),
    )
