"""The table of a run."""

from __future__ import annotations

from typing import Any

from bench.jobs.report import table


def report(told: dict[str, Any], *, bar_ms: float, bar_share: float) -> str:
    """Return the report of one run, in Markdown that reads well as it is."""
    head = ["operation", "P50 ms", "P95", "P99", "bare P50", "P95", "requests/s", "bare", "share"]
    rows = [head]
    for cell in told["cells"]:
        stack, bare, per_s = cell["ms"]["stack"], cell["ms"]["bare"], cell["per_s"]
        numbers = [*stack.values(), bare["p50"], bare["p95"]]
        rates = [f"{per_s[which]:,.0f}" for which in ("stack", "bare")]
        name = cell["operation"] + (" (first byte)" if cell["is_stream"] else "")
        cells = [f"{number:.1f}" for number in numbers]
        rows.append([name, *cells, *rates, f"{cell['share']:.2f}"])
    slow = [cell for cell in told["cells"] if cell["ms"]["stack"]["p95"] >= bar_ms]
    asked = [cell for cell in told["cells"] if not cell["is_stream"]]
    thin = [cell for cell in asked if cell["share"] < bar_share]
    return (
        f"{told['at']}, {told['machine']}; load average {told['load']:.1f}\n"
        f"{told['clients']} clients; {told['builds']:,} ended builds; {told['rounds']} rounds or"
        f" more, {told['seconds']} s\n\n{table(rows)}\n\n"
        f"P95 under {bar_ms:g} ms: {_verdict(slow)}\n"
        f"at least {bar_share:g} of the bare view's rate: {_verdict(thin)}"
    )


def _verdict(missing: list[dict[str, Any]]) -> str:
    names = ", ".join(cell["operation"] for cell in missing)
    return f"met NO: {names}" if missing else "met yes"
