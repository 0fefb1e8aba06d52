"""The settings of the system under measurement: the shipped ones and the kinds measured."""

from __future__ import annotations

from config.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "bench.jobs.kinds"]  # noqa: F405
