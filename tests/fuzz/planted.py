"""Settings of an API with faults in it, to see that the fuzz sees them."""

from __future__ import annotations

from config.settings_test import *  # noqa: F403

ROOT_URLCONF = "tests.fuzz.planted_urls"
