"""All fault tests at full size, or one case again.

Without arguments: the whole matrix, 60 Valkey faults, 20 crashes of PostgreSQL under jobs and 20
under credits and builds, 50 rounds of SIGTERM and every planted bug; the last line is one JSON
object. Exits with 1 unless everything held and every bug was seen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.faults.matrix.tally import TALLY

HERE: Final = Path(__file__).resolve().parents[1]
PARTS: Final = {
    "matrix": "test_matrix.py::test_jobs__struck_at_every_boundary__are_neither_lost_nor_doubled",
    "planted": "test_planted.py",
    "valkey": "test_valkey_faults.py",
    "postgres": "test_postgres_crashes.py",
    "books": "test_books_crashes.py",
    "sigterm": "test_worker_stop.py::test_sigterm__at_random_moments_in_many_rounds__loses_no_job",
}


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=" ".join(PARTS))
    parser.add_argument("--replay", metavar="OPERATION:POINT:FAULT", help="run this one case")
    parser.add_argument("--list", metavar="OPERATION", help="name the cases of an operation")
    parser.add_argument("--seed", type=int, help="repeat the random choices of an earlier run")
    asked = parser.parse_args()
    if asked.seed is not None:
        os.environ["SEED"] = str(asked.seed)
    options = ["-o", "timeout=3600", "-p", "no:cacheprovider", "-s", "-q"]
    if asked.replay or asked.list:
        os.environ["FLAGSHIP_REPLAY"] = asked.replay or f"{asked.list}::calm"
        test = f"{HERE}/test_matrix.py::test_replay__of_one_case__tells_what_happened"
        return int(pytest.main([*options, test]))
    os.environ["FLAGSHIP_FAULTS"] = "1"
    chosen = [PARTS[name] for name in asked.parts or PARTS]
    started = time.monotonic()
    code = pytest.main([*options, *(f"{HERE}/{part}" for part in chosen)])
    tally = TALLY.to_json(time.monotonic() - started)
    print(json.dumps(tally), flush=True)
    kept = not (tally["lost"] or tally["doubled"] or tally["crooked"])
    return 0 if code == 0 and kept and tally["planted"] == tally["seen"] else 1


if __name__ == "__main__":
    sys.exit(main())
