"""The settings of the views by themselves: the shipped ones without the middleware stack."""

from __future__ import annotations

from config.settings import *  # noqa: F403

# Without the stack nobody says whose rows are wanted.
DATABASE_TENANT_ROLE = ""
MIDDLEWARE = ["bench.api.identified.IdentifiedMiddleware"]
