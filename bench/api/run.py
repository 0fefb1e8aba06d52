"""The run: each case of both contenders in turn, round after round."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench._system import bare_system, machine
from bench.api.cases import CASES, STREAMS, unlike_schema
from bench.api.ground import CLIENTS, Ground, make_ground
from bench.api.report import report
from bench.api.requests import Ask, Caller
from bench.api.servers import STACKS, Ports, served

BUILDS: Final = 4_000
ROUNDS: Final = 3
ASKED: Final = 30
SPAN_S: Final = 6.0
QUICK: Final = {"builds": 1_000, "rounds": 2, "asked": 6, "span": 0.0}
WARMING: Final = 2
BAR_MS: Final = 200.0
BAR_SHARE: Final = 0.5
# What keeps one client from doing what a benchmark does: counted as ever, and never reached.
QUOTAS: Final = {
    "STREAMS_PER_KEY": "10000",
    "STREAMS_MAX": "10000",
    **dict.fromkeys(("RATE_LIMIT_IP", "RATE_LIMIT_ORGANIZATION", "RATE_LIMIT_KEY"), "9999999/60"),
}


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    chosen = _parse(options)
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(bare_system(**QUOTAS))
        unlike = unlike_schema()
        if any(unlike.values()):
            raise SystemExit(f"bench/api/cases.py and the schema differ: {unlike}")
        if servers.postgres is None:
            raise SystemExit("the history needs a database of its own")
        started = time.monotonic()
        ground = make_ground(servers.postgres.url("postgres"), builds=chosen.builds)
        log = Path(os.environ["FLAGSHIP_HOME"]) / "api.log"
        ports = {name: stack.enter_context(served(name, log)) for name in STACKS}
        names = [name for name in CASES if not chosen.only or any(o in name for o in chosen.only)]
        cells = [_measure(name, ground, ports, chosen) for name in names]
        took_s = time.monotonic() - started
    told = {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "clients": CLIENTS,
        "builds": chosen.builds,
        "rounds": chosen.rounds,
        "span_s": chosen.span,
        "seconds": round(took_s),
        "cells": cells,
        "met": all(cell["met"] for cell in cells),
    }
    text = json.dumps(told, indent=2)
    if chosen.keep:
        chosen.keep.parent.mkdir(parents=True, exist_ok=True)
        chosen.keep.write_text(text + "\n")
    print(text if chosen.json else report(told, bar_ms=BAR_MS, bar_share=BAR_SHARE))
    sys.exit(not told["met"])


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench api")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, requests and rows")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--keep", type=Path, help="write the object to this file as well")
    parser.add_argument(
        "--only", nargs="+", default=[], help="operations that contain one of these"
    )
    parser.add_argument("--builds", type=int, help="ended builds of the history")
    parser.add_argument("--rounds", type=int, help="at least so many of each operation")
    parser.add_argument("--span", type=float, help="more rounds, until both took so many seconds")
    parser.add_argument("--asked", type=int, help="requests of a client in a round")
    chosen = parser.parse_args(options)
    full = {"builds": BUILDS, "rounds": ROUNDS, "asked": ASKED, "span": SPAN_S}
    usual = QUICK if chosen.quick else full
    for name, value in usual.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    return chosen


def _measure(
    name: str, ground: Ground, ports: dict[str, Ports], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Measure one operation; milliseconds over all rounds, rates as medians of the rounds.

    A round of a cheap operation is over in a third of a second, which says more of the machine's
    moment than of the operation: those are asked in more rounds.
    """
    samples: dict[str, list[float]] = {which: [] for which in STACKS}
    rates: dict[str, list[float]] = {which: [] for which in STACKS}
    for which in STACKS:
        _cell(name, ground, ports[which], WARMING)
    for turn in itertools.count():
        spent_s = min(sum(each) for each in samples.values()) / CLIENTS / 1000
        if turn >= chosen.rounds and spent_s >= chosen.span:
            break
        for which in list(STACKS)[:: 1 if turn % 2 == 0 else -1]:
            taken = _cell(name, ground, ports[which], chosen.asked)
            samples[which] += taken
            # What these clients get when each asks again as soon as it is answered.
            rates[which].append(1000 * CLIENTS / statistics.fmean(taken))
    ms = {which: _percentiles(taken) for which, taken in samples.items()}
    per_s = {which: statistics.median(each) for which, each in rates.items()}
    share, is_stream = per_s["stack"] / per_s["bare"], name in STREAMS
    told = f"{name}: P95 {ms['stack']['p95']} ms, bare {ms['bare']['p95']}, share {share:.2f}"
    print(told, file=sys.stderr, flush=True)
    return {
        "operation": name,
        "is_stream": is_stream,
        "requests": len(samples["stack"]),
        "ms": ms,
        "per_s": {which: round(each, 1) for which, each in per_s.items()},
        "share": round(share, 2),
        # A stream is opened once and has no rate.
        "met": ms["stack"]["p95"] < BAR_MS and (is_stream or share >= BAR_SHARE),
    }


def _cell(name: str, ground: Ground, ports: Ports, asked: int) -> list[float]:
    """Let every client send its requests, one after another; return all milliseconds."""
    asks = [CASES[name](ground, number) for number in range(CLIENTS * asked)]
    is_stream = name in STREAMS
    port = ports.streams if is_stream else ports.api
    taken: list[float] = []
    problems: list[BaseException] = []
    barrier = threading.Barrier(CLIENTS)

    def work(client: int) -> None:
        caller = Caller(port, ground.secrets[client])
        try:
            barrier.wait()
            taken.extend(_ask(caller, asks[client::CLIENTS], is_stream=is_stream))
        except BaseException as error:
            problems.append(error)
        finally:
            caller.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return taken


def _ask(caller: Caller, asks: list[Ask], *, is_stream: bool) -> list[float]:
    return [caller.first_byte(ask) if is_stream else caller.ask(ask) for ask in asks]


def _percentiles(taken: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 1) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}
