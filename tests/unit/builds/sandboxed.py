"""Run small Python programs in the sandbox and look for what they leave."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from builds.clients.launcher.plan import Level
from builds.clients.sandbox import SandboxLimits, SandboxResult, levels
from builds.clients.sandbox.plans import make_plan
from builds.clients.sandbox.process import run_plan
from builds.clients.storage import workspace
from builds.errors import SandboxUnavailable

LEVELS: tuple[Level, ...] = ("bubblewrap", "namespaces", "landlock", "process")
# Levels at which a build sees nothing but its own files and has no network.
CLOSED: tuple[Level, ...] = ("bubblewrap", "namespaces", "landlock")
LIMITS = SandboxLimits(
    timeout_s=20,
    cpu_s=20,
    memory_bytes=256 * 1024**2,
    output_bytes=16 * 1024**2,
    processes=32,
    log_bytes=256 * 1024,
)


@dataclass
class Sandbox:
    """One workspace with a source and an output, and what ran in it."""

    level: Level
    workspace: Path
    lines: list[tuple[str, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def output(self) -> Path:
        return self.workspace / "output"

    @property
    def source(self) -> Path:
        return self.workspace / "source"

    @property
    def marker(self) -> str:
        """A word that stands in the command line of every process of this sandbox."""
        return self.workspace.name

    @property
    def python_path(self) -> str:
        """An interpreter that the build's user can reach."""
        return _python(self.level)

    def python(self, code: str, **limits: float) -> SandboxResult:
        """Run a program; its arguments are the output directory and the marker."""
        program = [self.python_path, "-I", "-S", "-u", "-c", textwrap.dedent(code)]
        return self.run([*program, str(self.output), self.marker], **limits)

    def run(self, command: list[str], **limits: float) -> SandboxResult:
        """Run a command."""
        bounded = replace(LIMITS, **limits)  # type: ignore[arg-type]
        plan = make_plan(
            self.level,
            command,
            workspace=self.workspace,
            writable=[self.output],
            limits=bounded,
        )
        return run_plan(plan, limits=bounded, stop=self.stop, on_line=self.on_line)

    def on_line(self, stream: str, line: str) -> None:
        self.lines.append((stream, line))

    def text(self, stream: str = "stdout") -> str:
        """Return what was written, lines joined."""
        return "\n".join(line for name, line in self.lines if name == stream)


@pytest.fixture(params=LEVELS)
def sandbox(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Sandbox]:
    """A sandbox at every level that works on this machine."""
    yield from open_sandbox(request.param, settings)


@pytest.fixture(params=CLOSED)
def closed_sandbox(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Sandbox]:
    """A sandbox at every level that closes files and network."""
    yield from open_sandbox(request.param, settings)


def open_sandbox(level: Level, settings: Settings) -> Iterator[Sandbox]:
    """Lend a sandbox in a storage of its own that other users may pass through."""
    if reason := levels.missing(level):
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="flagship-sandbox-") as home:
        Path(home).chmod(0o755)
        settings.STORAGE_DIR = Path(home) / "storage"
        with workspace() as directory:
            for name in ("source", "output"):
                (directory / name).mkdir(mode=0o755)
            sandbox = Sandbox(level, directory)
            if complaint := _complaint(sandbox):
                pytest.skip(f"{level} does not work here: {complaint}")
            yield sandbox
            assert survivors(sandbox.marker) == []


def survivors(marker: str) -> list[str]:
    """Return the command lines of living processes with a marker in them, but our own."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{name}/cmdline").read_bytes()
                if marker.encode() in command:
                    found.append(f"{name}: {command.decode(errors='replace')[-200:]}")
    return found


def wait_for(path: Path, timeout_s: float = 10.0) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.02)


_complaints: dict[Level, str] = {}


def _complaint(sandbox: Sandbox) -> str:
    """Try a level once per run; return what was wrong with it."""
    if sandbox.level not in _complaints:
        try:
            result = sandbox.python("pass")
        except SandboxUnavailable as error:
            _complaints[sandbox.level] = error.message
        else:
            is_fine = result.outcome == "finished"
            _complaints[sandbox.level] = "" if is_fine else f"{result} {sandbox.lines}"
        sandbox.lines.clear()
    return _complaints[sandbox.level]


def _python(level: Level) -> str:
    """Return an interpreter that the build's user can reach.

    At the two lowest levels nothing is arranged for that: the system's has to do where root's own
    lies below a private directory.
    """
    is_private = any(
        not parent.stat().st_mode & 0o001 for parent in Path(sys.executable).resolve().parents
    )
    if os.geteuid() == 0 and is_private and level in ("landlock", "process"):
        return "/usr/bin/python3"
    return sys.executable
