"""Entry: `supervise` beside the build, `enter` inside bubblewrap. Run as a file."""

from __future__ import annotations

import sys
from pathlib import Path

# Isolated mode adds nothing to the path; inside bubblewrap only this directory is there.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from builds.clients.launcher.plan import Plan

if __name__ == "__main__":
    if sys.argv[1] == "enter":
        from builds.clients.launcher.confine import enter

        enter(Plan.from_json(sys.argv[2]))
    else:
        from builds.clients.launcher.supervisor import supervise

        # Unbuffered: what follows the first line belongs to the supervisor.
        with open(0, "rb", buffering=0, closefd=False) as control:
            plan = Plan.from_json(control.readline().decode())
        supervise(plan)
