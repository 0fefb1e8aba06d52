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

from flagship.management.embedded import EmbeddedServers, Home

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 30.0


@contextlib.contextmanager
def bare_system(**settings: str) -> Iterator[None]:
    """Run fresh servers inside the block, with tables, and Django set up on them."""
    home = Home(Path(tempfile.mkdtemp(prefix="flagship-bench-")))
    # PostgreSQL's own user must be able to enter; the secrets in it are private files.
    home.path.chmod(0o755)
    servers = EmbeddedServers.for_home(home, postgres=True, valkey=True)
    try:
        for server in servers.running.values():
            server.start()
        found = servers.environment
        os.environ.update(
            found,
            FLAGSHIP_HOME=str(home.path),
            FLAGSHIP_SECRET_KEY="only-for-benchmarks-0123456789abcdef",
            DJANGO_SETTINGS_MODULE="config.settings",
            LOG_LEVEL="WARNING",
            **settings,
        )
        owner = {**os.environ, "DATABASE_URL": found["DATABASE_OWNER_URL"]}
        for command in (["migrate", "--verbosity=0"], ["grant_application_role", "flagship_app"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=owner, check=True)
        import django

        django.setup()
        yield
    finally:
        servers.stop()
        shutil.rmtree(home.path, ignore_errors=True)


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a management command beside the block."""
    started = subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, start_new_session=True
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
