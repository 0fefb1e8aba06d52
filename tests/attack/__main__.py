"""Every attack, and every guard taken away; the last line is one JSON object.

Exits with 1 unless every statement was refused, and every guard that was taken away was missed.
With `--list` it only writes the list of guards anew (tests/attack/guards.txt).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.attack.tally import TALLY


def main() -> int:
    """Run the tests of this directory; further arguments go to pytest."""
    started = time.monotonic()
    arguments = ["-o", "timeout=3600", "-p", "no:cacheprovider", "-s", "-q", *sys.argv[1:]]
    if "--list" in arguments:
        os.environ["FLAGSHIP_LIST_GUARDS"] = "1"
        arguments[arguments.index("--list")] = "-k=on_the_list"
    code = pytest.main([*arguments, str(Path(__file__).parent)])
    tally = TALLY.to_json(time.monotonic() - started)
    print(json.dumps(tally), flush=True)
    held = tally["statements"] > 0 and tally["accepted"] == 0
    seen = tally["dropped"] > 0 and tally["dropped"] == tally["seen"]
    return 0 if code == 0 and held and seen else 1


if __name__ == "__main__":
    sys.exit(main())
