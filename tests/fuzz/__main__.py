"""Nonsense over HTTP: a tenth of the full size, or all of it; the last line is one JSON object.

Exits with 1 unless no answer was a server error, none undocumented, no forgery accepted, every
operation was reached and every planted fault seen. Prints its seed first; `--seed` repeats a run,
`--case` makes one raw request of it again.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="20,000 cases, 50,000 raw requests, 1,010,000 forgeries"
    )
    parser.add_argument("--seed", type=int, help="repeat the choices of an earlier run")
    parser.add_argument("--case", type=int, help="send this one raw request again")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    os.environ |= {"SEED": str(seed), "FLAGSHIP_FUZZ": "full" if asked.full else "tenth"}
    options = ["-o", "timeout=10000", "-p", "no:cacheprovider", "-s", "-q"]
    if asked.case is not None:
        os.environ["FLAGSHIP_CASE"] = str(asked.case)
        options.append("-k=one_raw_request")
    print(f"SEED={seed}", flush=True)
    from tests.fuzz.tally import TALLY

    started = time.monotonic()
    code = pytest.main([*options, str(HERE)])
    tally = TALLY.to_json(seed, time.monotonic() - started)
    print(json.dumps(tally), flush=True)
    return 0 if code == 0 and not TALLY.faults() else 1


if __name__ == "__main__":
    sys.exit(main())
