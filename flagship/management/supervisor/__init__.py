"""What `manage.py up` runs: servers, migrations, and the four processes of a system.

One thread, one loop. Children are started, watched and stopped here and nowhere else.
Source: O-09.
"""

from __future__ import annotations

from flagship.management.supervisor.loop import CrashLoop
from flagship.management.supervisor.ports import PortTaken
from flagship.management.supervisor.system import System, SystemFailed

__all__ = ["CrashLoop", "PortTaken", "System", "SystemFailed"]
