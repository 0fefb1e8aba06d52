"""The settings of the views by themselves: the shipped ones without the middleware stack."""

from __future__ import annotations

from config.settings import *  # noqa: F403

# Without the stack nobody says whose rows are wanted.
DATABASE_TENANT_ROLE = ""
SILENCED_SYSTEM_CHECKS += [  # noqa: F405 (the stack is what is left out)
    *("flagship.E002", "flagship.E003", "admin.E408", "admin.E409", "admin.E410"),
]
MIDDLEWARE = ["bench.api.identified.IdentifiedMiddleware"]
