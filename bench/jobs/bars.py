"""What must hold between the medians of one run, and whether it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.jobs.contenders import BY_NAME

Medians = dict[str, dict[str, float | None]]

ROW_KEEPERS: Final = ("oban", "procrastinate")
"""Peers that store a row for each job when it is enqueued."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison; `most` says that the bar is an upper one."""

    value: float
    bar: float
    met: bool
    most: bool = False


def ratios(medians: Medians) -> dict[str, dict[str, Any]]:
    """Return every bar that the run can speak of, by name."""
    found: dict[str, Ratio | None] = {
        f"transactional / {peer}": _least(medians, "transactional", "durable", peer, bar)
        for peer, bar in (
            ("oban", 1.1),
            ("celery", 2.8),
            ("procrastinate", 4.5),
            ("rq_fork", 50.0),
            ("floor", 0.6),
        )
    }
    fastest = _fastest(medians, "durable")
    if fastest:
        name = f"batch / fastest peer ({fastest})"
        found[name] = _least(medians, "batch", "durable", fastest, 3.0)
    found["bulk enqueue / rq enqueue_many"] = _least(
        medians, "transactional", "enqueue_bulk", "rq_simple", 0.7
    )
    for shape in ("stepwise", "transactional"):
        p95 = medians.get(shape, {}).get("latency_p95_ms")
        found[f"{shape} latency P95, ms"] = None if p95 is None else _most(p95, 10.0)
        best = _lowest(medians, "latency_p95_ms")
        if p95 is not None and best is not None:
            name = f"{shape} latency P95 / best peer with rows"
            found[name] = _most(p95 / best, 1.5)
    return {name: asdict(ratio) for name, ratio in found.items() if ratio is not None}


def _least(medians: Medians, ours: str, measure: str, other: str, bar: float) -> Ratio | None:
    mine = medians.get(ours, {}).get(measure)
    theirs = medians.get(other, {}).get(measure)
    if not mine or not theirs:
        return None
    value = mine / theirs
    return Ratio(round(value, 3), bar, value >= bar)


def _most(value: float, bar: float) -> Ratio:
    return Ratio(round(value, 3), bar, value <= bar, most=True)


def _fastest(medians: Medians, measure: str) -> str | None:
    peers = {
        name: value
        for name, each in medians.items()
        if BY_NAME[name].is_peer and (value := each.get(measure))
    }
    return max(peers, key=lambda name: peers[name]) if peers else None


def _lowest(medians: Medians, measure: str) -> float | None:
    known = [value for name in ROW_KEEPERS if (value := medians.get(name, {}).get(measure))]
    return min(known) if known else None
