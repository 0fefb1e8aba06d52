"""Every endpoint's latency at 8 clients, beside its view without the middleware stack.

The operations are those of the OpenAPI schema, all of them, asked of the API as `manage.py up`
starts it (its own command, granian, the application role), with the whole stack and with a stack of
one layer that knows the client by heart, in turn in one run on the same data. A stream is measured
to its first byte. Bars: P95 under 200 ms, at least half of the bare view's rate. Source: E-10.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    from bench.api.run import main as run

    run(options)
