"""List the benchmarks, or run the ones named: `python -m bench NAME ... [--option ...]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench

BENCHMARKS = sorted(
    module.name
    for module in pkgutil.iter_modules(bench.__path__)
    if not module.name.startswith("_")
)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, each with the options, or say which there are."""
    first = next((n for n, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:first], arguments[first:]
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}", file=sys.stderr)
        return 1
    for name in names:
        importlib.import_module(f"bench.{name}").main(options)
    if not names:
        for name in BENCHMARKS:
            words = (importlib.import_module(f"bench.{name}").__doc__ or "").split("\n")[0]
            print(f"{name:<20}{words}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
