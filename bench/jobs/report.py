"""The table of a run, in Markdown that reads well as it is."""

from __future__ import annotations

from typing import Any

from bench.jobs.contenders import BY_NAME

COLUMNS = (
    ("durable", "durable/s", "{:,.0f}"),
    ("noop", "no-op/s", "{:,.0f}"),
    ("enqueue_one", "enqueue/s", "{:,.0f}"),
    ("enqueue_bulk", "in bulk/s", "{:,.0f}"),
    ("latency_p50_ms", "P50 ms", "{:.1f}"),
    ("latency_p95_ms", "P95 ms", "{:.1f}"),
    ("latency_p99_ms", "P99 ms", "{:.1f}"),
    ("pss_mib", "PSS MiB", "{:.0f}"),
)


def report(found: dict[str, Any]) -> str:
    """Return the whole report of one run."""
    parts = [_heading(found), _numbers(found), _ratios(found), _guarantees(found), _notes(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(found: dict[str, Any]) -> str:
    servers = ", ".join(f"{name} {value}" for name, value in found["servers"].items())
    load = f"{min(found['load'])} to {max(found['load'])}"
    return (
        f"{found['at']}, {found['machine']}; {found['rounds']} interleaved rounds in"
        f" {found['seconds']} s; load average {load}.\nPostgreSQL: {servers}."
    )


def _numbers(found: dict[str, Any]) -> str:
    rows = [["2 worker processes", *(title for _, title, _ in COLUMNS)]]
    for name, measures in found["medians"].items():
        cells = [
            "" if measures.get(key) is None else form.format(measures[key])
            for key, _, form in COLUMNS
        ]
        rows.append([_label(found, name), *cells])
    return table(rows)


def _ratios(found: dict[str, Any]) -> str:
    rows = [["ratio of medians", "value", "bar", "met"]]
    for name, ratio in found["ratios"].items():
        sign = "<=" if ratio["most"] else ">="
        met = "yes" if ratio["met"] else "NO"
        rows.append([name, f"{ratio['value']:.2f}", f"{sign} {ratio['bar']:g}", met])
    return table(rows)


def _guarantees(found: dict[str, Any]) -> str:
    rows = [["", "a row per job", "survives kill -9", "survives a broker wipe", "settings"]]
    for name in found["medians"]:
        each = BY_NAME[name]
        if name != "floor":
            rows.append([_label(found, name), each.row, each.kill, each.wipe, each.settings])
    return table(rows)


def _notes(found: dict[str, Any]) -> str:
    lines = [f"- left out: {name}: {why}" for name, why in found["missing"].items()]
    lines += [f"- failed: {failure}" for failure in found["failures"]]
    for name, measures in found["ranges"].items():
        for word in ("lost", "doubled"):
            worst = max(measures.get(word, [0])[1:] or [0])
            if worst:
                lines.append(f"- {_label(found, name)}: {word} {worst:.0f} effects in a round")
    return "\n".join(lines)


def _label(found: dict[str, Any], name: str) -> str:
    each = BY_NAME[name]
    version = found["versions"].get(each.environment)
    return f"{each.label} {version}" if version else each.label


def table(rows: list[list[str]]) -> str:
    """Return rows as a table; the first one holds the titles."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
