"""What a build costs: one rate for the estimate and for the charge (pure, B-06, B-09).

    credits = 1 (base) + 1 per started 10 s of building + 1 per started MiB of output

The estimate is the same rate over the time and size that a source is expected to need. A build
that needed less is charged less; one that needed more is charged more, from the free balance.
"""

from __future__ import annotations

from typing import Final

BASE_CREDITS: Final = 1
SECONDS_PER_CREDIT: Final = 10
BYTES_PER_CREDIT: Final = 1024 * 1024

# Builders that compile take time and add a theme of their own to what they publish; the others
# publish what they are given.
_STARTUP_S: Final = {"mkdocs": 10.0}
_THEME_BYTES: Final = {"mkdocs": 3 * BYTES_PER_CREDIT}
_BYTES_PER_S: Final = {"mkdocs": 256 * 1024}
_DEFAULT_BYTES_PER_S: Final = 16 * BYTES_PER_CREDIT


def usage_credits(*, duration_s: float, output_bytes: int) -> int:
    """Return the charge for a build.

    Units: seconds of building, bytes published, whole credits (1 at least).
    """
    started_intervals = -int(-max(duration_s, 0.0) // SECONDS_PER_CREDIT)
    started_mebibytes = -(-max(output_bytes, 0) // BYTES_PER_CREDIT)
    return BASE_CREDITS + started_intervals + started_mebibytes


def estimate_credits(*, builder: str, unpacked_bytes: int) -> int:
    """Return the credits to hold for a build of a source.

    Units: `unpacked_bytes` is the size of the source's files; whole credits.
    """
    rate = _BYTES_PER_S.get(builder, _DEFAULT_BYTES_PER_S)
    return usage_credits(
        duration_s=_STARTUP_S.get(builder, 1.0) + unpacked_bytes / rate,
        output_bytes=unpacked_bytes + _THEME_BYTES.get(builder, 0),
    )
