"""A bare system for one measurement: embedded servers and the processes asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from flagship.management.embedded import EmbeddedServers, Home

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 30.0
MIB = 2**20


@contextlib.contextmanager
def bare_system(**settings: str) -> Iterator[EmbeddedServers]:
    """Run fresh servers inside the block, with tables, and Django set up on them."""
    home = Home(Path(tempfile.mkdtemp(prefix="flagship-bench-")))
    # PostgreSQL's own user must be able to enter; the secrets in it are private files.
    home.path.chmod(0o755)
    servers = EmbeddedServers.for_home(home, postgres=True, valkey=True)
    try:
        for server in servers.running.values():
            server.start()
        found = servers.environment
        own = {
            "FLAGSHIP_HOME": str(home.path),
            "FLAGSHIP_SECRET_KEY": "only-for-benchmarks-0123456789abcdef",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "WARNING",
        }
        os.environ.update(found | own | settings)
        owner = {**os.environ, "DATABASE_URL": found["DATABASE_OWNER_URL"]}
        for command in (["migrate", "--verbosity=0"], ["grant_application_role", "flagship_app"]):
            # What they say is no part of what is measured: `--json` is one object.
            subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=owner,
                check=True,
                stdout=sys.stderr,
            )
        import django

        django.setup()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(home.path, ignore_errors=True)


@contextlib.contextmanager
def process(*arguments: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a management command beside the block."""
    started = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def pss_mib(*pids: int) -> float:
    """Return the memory of processes and their children, shared pages counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for each in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    total += each.memory_full_info().pss
    return total / MIB


def machine() -> str:
    """Describe the machine in a line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores of {model}, {memory:.0f} GiB"
