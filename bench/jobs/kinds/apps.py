"""A tiny app of kinds."""

from __future__ import annotations

from django.apps import AppConfig


class KindsConfig(AppConfig):
    """Installed by bench.jobs.settings only."""

    name = "bench.jobs.kinds"
    label = "bench_kinds"
