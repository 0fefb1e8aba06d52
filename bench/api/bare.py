"""The settings of the views by themselves: the shipped ones without the middleware stack."""

from __future__ import annotations

from config.settings import *  # noqa: F403

MIDDLEWARE = ["bench.api.identified.IdentifiedMiddleware"]
