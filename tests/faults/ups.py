"""`manage.py up` as a real process, in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg

from flagship.management.embedded import Home
from flagship.management.embedded.postgres import SUPERUSER, Postgres
from tests.processes import Processes, Running, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
READY_S = 90.0
STOP_S = 60.0
# The suite has servers of its own; a system here gets only what its test gives it.
UNSET = ["env", "-u", "DATABASE_URL", "-u", "DATABASE_OWNER_URL", "-u", "REDIS_URL"]


@dataclass(slots=True)
class Up:
    """A system that was started, and its home."""

    home: Path
    running: Running

    @property
    def servers(self) -> dict[str, Any]:
        """What it left for others to find."""
        return dict(json.loads((self.home / "servers.json").read_text()))

    def wait_ready(self, times: int = 1) -> None:
        """Wait until it has said `ready`."""
        wait_until(
            lambda: self.running.output().count("| ready:") == times,
            READY_S,
            lambda: self.running.output()[-5000:],
        )

    def is_answering(self) -> bool:
        """Whether the api says it is ready."""
        with contextlib.suppress(httpx.HTTPError):
            url = f"{self.servers['API_URL']}/readyz"
            return httpx.get(url, timeout=5, trust_env=False).status_code == 200
        return False

    def says(self, text: str, timeout_s: float = READY_S) -> None:
        """Wait until it has printed the text."""
        self.running.wait_for(text, timeout_s)

    def processes(self) -> dict[str, psutil.Process]:
        """Its direct children by what they run."""
        found = {}
        for child in psutil.Process(self.running.pid).children():
            try:
                command = " ".join(child.cmdline())
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue  # it has just ended, and is about to be started again
            for name in ("rqworker", "rqscheduler", "wsgi", "asgi", "valkey-server", "postgres"):
                if name in command:
                    found[name] = child
        return found

    def tree(self) -> list[psutil.Process]:
        """Itself and everything below it."""
        process = psutil.Process(self.running.pid)
        return [process, *process.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.running.kill(number)
        return self.running.wait(STOP_S)

    def query(self, statement: str) -> Any:
        """Ask its database, as the application role."""
        with psycopg.connect(self.servers["DATABASE_URL"]) as connection:
            row = connection.execute(statement).fetchone()
        return row[0] if row else None

    def as_superuser(self) -> psycopg.Connection[Any]:
        """Connect to its embedded database as the one whom nothing is refused."""
        port = urlsplit(self.servers["DATABASE_URL"]).port or 0
        url = Postgres(Home(self.home), port).url(SUPERUSER)
        return psycopg.connect(url, autocommit=True)


@dataclass(slots=True)
class Ups:
    """Starts systems in one home; all are ended with the test."""

    directory: Path
    processes: Processes

    def start(self, *arguments: str, **given: str) -> Up:
        """Start `manage.py up`."""
        return Up(
            Path(given.get("FLAGSHIP_HOME", self.home)), self.spawn("up", *arguments, **given)
        )

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end beside the system; return what it printed."""
        running = self.spawn(*arguments)
        assert running.wait(60) == 0, running.output()
        return running.output()

    @property
    def home(self) -> Path:
        """Where everything of the system is."""
        return self.directory / "home"

    def spawn(self, *arguments: str, **given: str) -> Running:
        """Start a management command in this home."""
        settings = {"FLAGSHIP_HOME": str(self.home), "DJANGO_SETTINGS_MODULE": "config.settings"}
        words = [f"{name}={value}" for name, value in (settings | given).items()]
        return self.processes.spawn([*UNSET, *words, sys.executable, "manage.py", *arguments])


@contextlib.contextmanager
def systems(directory: Path) -> Iterator[Ups]:
    """Yield a way to start systems; stops those that still run, and fails if that is not clean."""
    processes = Processes(ROOT, directory)
    try:
        yield Ups(directory, processes)
        for running in processes.running:
            running.kill(signal.SIGTERM)
        for running in processes.running:
            running.wait(STOP_S)
    finally:
        processes.close()


def alive(tree: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; a zombie is only an exit code that init has not read."""
    found = []
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def gone(tree: list[psutil.Process], timeout_s: float = 20.0) -> None:
    """Wait until none of the processes runs any more."""
    wait_until(lambda: not alive(tree), timeout_s, lambda: str(alive(tree)), poll_s=0.1)


def is_root() -> bool:
    """Whether this run may become other users."""
    return os.geteuid() == 0
