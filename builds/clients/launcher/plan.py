"""What the worker tells the launcher about one build."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

# How a build is kept apart, best first; docs/builds.md says what each one promises.
Level = Literal["bubblewrap", "namespaces", "landlock", "process"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One build's process: what to run, where, what it sees and what it may use.

    `readable` are paths beside the system's own; `writable` lie in the workspace. `uid` is whom
    the build runs as; None keeps the launcher's. `ready_fd` is where the last step before the
    build's program reports. Units: seconds, bytes, processes.
    """

    level: Level
    command: list[str]
    environment: dict[str, str]
    workspace: str
    writable: list[str]
    readable: list[str]
    timeout_s: float
    cpu_s: int
    memory_bytes: int
    output_bytes: int
    processes: int
    bubblewrap: str = ""
    status_fd: int = -1
    ready_fd: int = -1
    uid: int | None = None

    def to_json(self) -> str:
        """Return the plan as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Plan:
        """Return the plan of a line."""
        return cls(**json.loads(line))
