"""500 probes of 1 s on one rqworker with 100 slots, then 1,000 at once with 1,000 slots.

Bars: 500 end in under 5.3 s (the ideal is 5.0 s: a hundred at a time) with the worker under
140 MiB of PSS; of 1,000 that sleep 5 s, 1,000 run at the same moment. Times are the database's:
`created_at` of the first job, `ended_at` of the last attempt.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from bench._system import bare_system, machine, process, pss_mib

PROBES: Final = 500
ROUNDS: Final = 3
WALL_S: Final = 5.3
PSS_MIB: Final = 140.0
AT_ONCE: Final = 1_000
LONG_S: Final = 5.0
LIMIT_S: Final = 90.0

SPAN: Final = """
SELECT extract(epoch FROM max(ended_at) - (SELECT min(created_at) FROM jobs_job WHERE id = ANY(%s)))
FROM jobs_jobattempt WHERE job_id = ANY(%s) AND outcome = 'succeeded'
"""
TOGETHER: Final = """
SELECT max(running) FROM (
    SELECT sum(step) OVER (ORDER BY at, step) AS running FROM (
        SELECT started_at AS at, 1 AS step FROM jobs_jobattempt WHERE job_id = ANY(%s)
        UNION ALL SELECT ended_at, -1 FROM jobs_jobattempt WHERE job_id = ANY(%s)
    ) AS steps
) AS sums
"""


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    with bare_system():
        print(machine())
        with process("rqworker") as worker, process("rqscheduler"):
            _round(1, 0.0)  # Imports, connections, caches.
            walls = []
            for _ in range(ROUNDS):
                walls.append(_round(PROBES, 1.0)[0])
            memory = pss_mib(worker.pid)
        wall = statistics.median(walls)
        print(
            f"{PROBES} x 1 s, 100 slots: median {wall:.2f} s ({min(walls):.2f} to {max(walls):.2f},"
            f" {ROUNDS} rounds; bar {WALL_S} s), PSS {memory:.0f} MiB (bar {PSS_MIB:.0f})"
        )
        with process("rqworker", WORKER_SLOTS=str(AT_ONCE)) as worker, process("rqscheduler"):
            _round(1, 0.0)
            many, together = _round(AT_ONCE, LONG_S)
            more = pss_mib(worker.pid)
        print(
            f"{AT_ONCE} x {LONG_S:g} s, {AT_ONCE} slots: {many:.2f} s, {together} at the same"
            f" moment, PSS {more:.0f} MiB"
        )
    sys.exit(not (wall < WALL_S and memory < PSS_MIB and together == AT_ONCE))


def _round(count: int, sleep_s: float) -> tuple[float, int]:
    """Run so many probes; return seconds from the first creation to the last end, and the most
    that ran at the same moment.

    Raises: TimeoutError.
    """
    from jobs.payloads import Probe
    from jobs.services.enqueue import enqueue_many

    ids = enqueue_many([Probe(sleep_s=sleep_s)] * count)
    until = time.monotonic() + LIMIT_S
    done = "SELECT count(*) FROM jobs_job WHERE id = ANY(%s) AND state = 'succeeded'"
    while _scalar(done, [ids]) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count} probes did not end within {LIMIT_S:g} s")
        time.sleep(0.1)
    return float(_scalar(SPAN, [ids, ids])), int(_scalar(TOGETHER, [ids, ids]))


def _scalar(query: str, parameters: list[Any]) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    return row[0] if row else None


if __name__ == "__main__":
    main(sys.argv[1:])
