"""Settings of the processes of the matrix; those a worker starts for a job get their hooks here."""

from __future__ import annotations

import json
import os

from config.settings_test import *  # noqa: F403

_plan = json.loads(os.environ.get("FLAGSHIP_FAULT_PLAN", "{}"))
if _plan:
    from tests.faults.matrix.hooks import install

    globals().update(_plan.get("settings", {}))
    install(_plan, armed=True, kin="child-")
