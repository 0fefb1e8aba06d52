"""The whole run: everybody in turn, round after round, and the medians of it."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench._system import machine
from bench.jobs import rounds
from bench.jobs.bars import Medians, ratios
from bench.jobs.contenders import BY_NAME, CONTENDERS, KINDS, Contender
from bench.jobs.ground import Ground, ground
from bench.jobs.install import install, version_of

DRAINED_ONCE = ("stepwise", "transactional_waiting", "rq_simple")
"""No bar compares how fast these drain: a quick run does it once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `latencies` is the number of jobs of one round of latencies."""

    rounds: int = 5
    quick: bool = False
    names: tuple[str, ...] = ()
    latencies: int = 100
    kinds: tuple[str, ...] = KINDS

    def drains(self, number: int, contender: Contender) -> tuple[str, ...]:
        """Return the kinds that a round drains: a quick run repeats only what a bar is on."""
        if number == 1 or not self.quick:
            return self.kinds
        return () if contender.name in DRAINED_ONCE else ("durable",)

    def asks_for_more(self, number: int, contender: Contender) -> bool:
        """Tell whether a round enqueues and times starts too."""
        return "noop" in contender.jobs and (number == 1 or not self.quick)

    def sized(self, contender: Contender) -> Contender:
        """Return a contender with the number of jobs this run can afford."""
        if not self.quick:
            return contender
        jobs = {kind: max(100, count // 2) for kind, count in contender.jobs.items()}
        # Our shapes are enqueued in the same way.
        alike = contender.is_ours and contender.name != "transactional"
        enqueues = {} if alike else {how: count // 2 for how, count in contender.enqueues.items()}
        return replace(contender, jobs=jobs, enqueues=enqueues)

    def contenders(self) -> list[Contender]:
        """Return who takes part."""
        if self.names:
            return [self.sized(BY_NAME[name]) for name in self.names]
        return [self.sized(each) for each in CONTENDERS if each.quick or not self.quick]


@dataclass(slots=True)
class Samples:
    """What was measured, by contender and measure; one number a round."""

    numbers: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def medians(self) -> Medians:
        """Return the median of each measure, and the percentiles of all latencies together."""
        found: Medians = {
            name: {measure: statistics.median(each) for measure, each in measures.items()}
            for name, measures in self.numbers.items()
        }
        for name, each in self.latencies.items():
            if len(each) > 1:
                cuts = statistics.quantiles(each, n=100, method="inclusive")
                found.setdefault(name, {}).update(
                    latency_p50_ms=cuts[49], latency_p95_ms=cuts[94], latency_p99_ms=cuts[98]
                )
        return found


def run(plan: Plan) -> dict[str, Any]:
    """Measure; return the medians, the ratios, and what they were measured on.

    Raises: rounds.Wrong when a run of ours lacks a row, an attempt or an effect.
    """
    contenders = plan.contenders()
    missing = install({each.environment for each in contenders if each.is_peer})
    contenders = [each for each in contenders if each.environment not in missing]
    samples = Samples()
    began = time.monotonic()
    loads = [os.getloadavg()[0]]
    with ground() as servers:
        settings = servers.settings()
        for number in range(1, plan.rounds + 1):
            for contender in contenders:
                _tell(f"round {number} of {plan.rounds}: {contender.label}")
                _round(servers, contender, plan, samples, number)
            loads.append(os.getloadavg()[0])
    medians = samples.medians()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seconds": round(time.monotonic() - began),
        "rounds": plan.rounds,
        "quick": plan.quick,
        "load": [round(load, 2) for load in loads],
        "servers": settings,
        "versions": {
            each.environment: version_of(each.environment) for each in contenders if each.is_peer
        },
        "missing": missing,
        "failures": samples.failures,
        "medians": _rounded(medians),
        "ranges": {
            name: {measure: [min(each), max(each)] for measure, each in measures.items()}
            for name, measures in samples.numbers.items()
        },
        "ratios": ratios(medians),
    }


def _round(
    servers: Ground, contender: Contender, plan: Plan, samples: Samples, number: int
) -> None:
    """Measure everything of one contender once."""
    numbers = samples.numbers[contender.name]
    for kind in plan.drains(number, contender):
        if kind in contender.jobs:
            drain = _try(samples, contender, partial(rounds.drain, servers, contender, kind))
            if drain is not None:
                numbers[kind].append(drain.jobs_per_s)
                numbers["pss_mib"].append(drain.pss_mib)
                numbers["lost"].append(drain.lost)
                numbers["doubled"].append(drain.doubled)
    if not plan.asks_for_more(number, contender):
        return
    for how in contender.enqueues:
        per_s = _try(samples, contender, partial(rounds.enqueue, servers, contender, how))
        if per_s is not None:
            numbers[f"enqueue_{how}"].append(per_s)
    if plan.latencies:
        each = _try(samples, contender, partial(rounds.latency, servers, contender, plan.latencies))
        samples.latencies[contender.name] += each.ms if each else []


def _try(samples: Samples, contender: Contender, measure: Callable[[], Any]) -> Any:
    """Measure; a peer that fails is told and left out, a failure of ours ends the run."""
    try:
        return measure()
    except Exception as error:
        if contender.is_ours:
            raise
        samples.failures.append(f"{contender.name}: {error}"[:500])
        return None


def _rounded(medians: Medians) -> Medians:
    return {
        name: {
            measure: None if value is None else round(value, 2)
            for measure, value in measures.items()
        }
        for name, measures in medians.items()
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of contenders. Raises: ValueError for one that is not there."""
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise ValueError(f"no such contender: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return tuple(names)
