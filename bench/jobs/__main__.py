"""`python -m bench.jobs`: the table; `--quick` in under four minutes; `--json` for machines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.jobs.contenders import KINDS
from bench.jobs.report import report
from bench.jobs.run import Plan, chosen, run

QUICK = {"rounds": 3, "latencies": 40}


def main(arguments: Sequence[str]) -> None:
    """Measure, print and keep. Exit code 1 when a bar is missed."""
    options = _parser().parse_args(arguments)
    if options.where or options.trips:
        from bench.jobs.where import main as where

        where(trips_only=not options.where)
        return
    size = QUICK if options.quick else {"rounds": 5, "latencies": 100}
    plan = Plan(
        rounds=options.rounds or size["rounds"],
        quick=options.quick,
        names=chosen(options.only),
        latencies=size["latencies"] if options.latencies is None else options.latencies,
        kinds=tuple(options.kinds),
    )
    found = run(plan)
    text = json.dumps(found, indent=2)
    if options.keep:
        options.keep.parent.mkdir(parents=True, exist_ok=True)
        options.keep.write_text(text + "\n")
    print(text if options.json else report(found))
    sys.exit(not all(ratio["met"] for ratio in found["ratios"].values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours, Oban, Celery and stock rq")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the object here too")
    parser.add_argument("--rounds", type=int, help="of everything (5, quick: 3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these contenders")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="what is drained")
    parser.add_argument("--latencies", type=int, metavar="N", help="jobs timed a round; 0 for none")
    parser.add_argument("--where", action="store_true", help="where ours spends each millisecond")
    parser.add_argument("--trips", action="store_true", help="round trips per job, everybody's")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
