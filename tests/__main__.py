"""The whole suite in two lanes side by side: `python -m tests [--one] [pytest options]`.

Most of its time it waits, for leases, restarts and drains, while one of two cores is idle. Each
lane is a pytest of its own with servers, databases and directories of its own, so neither sees the
other. With servers that were given (DATABASE_URL, REDIS_URL), with tests that are named, or on a
single core there is one lane. The exit code is that of the lane that fared worse.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flagship.management.supervisor.child import end_with_us

ROOT: Final = Path(__file__).resolve().parent.parent
APART: Final = (
    "tests/faults/test_matrix.py",
    "tests/faults/test_planted.py",
    "tests/faults/test_isolation.py",
    "tests/faults/test_valkey_faults.py",
    "tests/faults/test_postgres_crashes.py",
    "tests/faults/test_worker_faults.py",
    "tests/faults/test_worker_stop.py",
    "tests/faults/test_system.py",
    "tests/walks",
    "tests/browser",
    "tests/fuzz",
    "tests/unit",
)
"""What the first lane runs; the second runs all the rest, so that nothing can be forgotten."""
NOTHING_RAN: Final = 5
"""The exit code of a pytest that found no test: an option may leave a lane without any."""
_printing: Final = threading.Lock()


def main(options: Sequence[str]) -> int:
    """Run; return the exit code."""
    if "--one" in options or _is_one(options):
        return subprocess.call(_pytest([each for each in options if each != "--one"]), cwd=ROOT)
    lanes = {
        "1": [*APART, *options],
        "2": ["tests", *(f"--ignore={path}" for path in APART), *options],
    }
    running = {name: _start(name, arguments) for name, arguments in lanes.items()}
    threads = [threading.Thread(target=_show, args=each) for each in running.items()]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        # The terminal has told the lanes as well, and they end what they have started.
        for thread in threads:
            thread.join()
    codes = {name: process.wait() for name, process in running.items()}
    print(f"exit codes of the lanes: {codes}")
    return _worst(list(codes.values()))


def _is_one(options: Sequence[str]) -> bool:
    """Tell whether two lanes would meet, or one of them would have nothing to do."""
    given = os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL")
    named = any((ROOT / each.split("::")[0]).exists() for each in options)
    return bool(given) or named or (os.cpu_count() or 1) < 2


def _pytest(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _start(name: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start a lane; what fails in it is remembered apart from the other's."""
    return subprocess.Popen(
        [*end_with_us(), *_pytest(["-o", f"cache_dir=.pytest_cache/lane-{name}", *arguments])],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _show(name: str, process: subprocess.Popen[str]) -> None:
    """Print what a lane says, line by line, as it comes."""
    assert process.stdout
    for line in process.stdout:
        with _printing:
            print(f"{name} | {line.rstrip()}", flush=True)


def _worst(codes: list[int]) -> int:
    """Return the code that stands for all: 0 only when each lane passed and one ran something."""
    ran = [code for code in codes if code != NOTHING_RAN]
    failed = [code for code in ran if code != 0]
    return failed[0] if failed else (0 if ran else NOTHING_RAN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
