"""Find a running system, or start one for the length of the demo."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builds.clients.sandbox import isolation
from builds.errors import SandboxUnavailable
from builds.management.demo.failed import DemoFailed, wait_for
from flagship.management.embedded import Home, HomeInUse, read_json
from flagship.management.supervisor.child import end_with_us

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who can log in to the console."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class System:
    """A running system and the checkout that it runs from."""

    url: str
    root: Path

    def bootstrap(self, name: str) -> tuple[str, Operator]:
        """Make an organization with credits; return its API key, and an operator."""
        made = json.loads(self._manage("bootstrap", "--organization", name, "--json"))
        admin = made["admin"]
        if admin:
            return made["apiKey"], Operator(admin["username"], admin["password"])
        return made["apiKey"], self._make_operator()

    def reconcile(self) -> dict[str, Any]:
        """Prove the whole ledger; return what was found. Raises: DemoFailed, with it, on drift."""
        found: dict[str, Any] = json.loads(self._manage("reconcile_credits", "--json"))
        return found

    def _make_operator(self) -> Operator:
        """Make another operator: the first one's password was shown once and is not kept."""
        operator = Operator(f"demo-{secrets.token_hex(3)}", secrets.token_urlsafe(12))
        self._manage(
            "createsuperuser",
            "--noinput",
            f"--username={operator.username}",
            "--email=demo@localhost",
            DJANGO_SUPERUSER_PASSWORD=operator.password,
        )
        return operator

    def _manage(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, str(self.root / "manage.py"), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise DemoFailed(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def can_run_code() -> bool:
    """Tell whether sites may bring programs of their own on this machine, by trying."""
    try:
        return isolation() == "bubblewrap"
    except SandboxUnavailable:
        return False


@contextlib.contextmanager
def running_system(home: Home, root: Path, say: Callable[[str], None]) -> Iterator[System]:
    """Yield the system that runs in this home; without one, start it and stop it at the end.

    Raises: DemoFailed when it does not start.
    """
    if url := _find_running(home):
        say(f"using the one that runs at {url}")
        yield System(url, root)
        return
    home.prepare()
    log = home.path / "up.log"
    say(f"starting one (its output: {log})")
    with log.open("wb") as output, _stopped_at_the_end(_start(root, output), say) as process:
        try:
            url = wait_for(
                "a running system", lambda: _find_started(home, process), START_TIMEOUT_S
            )
        except DemoFailed as failure:
            raise DemoFailed(f"{failure}\n{_tail(log)}") from None
        yield System(url, root)


def _start(root: Path, output: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is ours
        [*end_with_us(), sys.executable, str(root / "manage.py"), "up"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=root,
        # Ctrl-C is for the demo, which then stops this one and waits for it.
        start_new_session=True,
    )


@contextlib.contextmanager
def _stopped_at_the_end(
    process: subprocess.Popen[bytes], say: Callable[[str], None]
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            say("stopping the system")
            process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _find_running(home: Home) -> str | None:
    """Return the address of the system that holds this home, if one does and is ready."""
    try:
        home.lock().close()
    except HomeInUse:
        return _find(home)
    # Nobody holds it: what servers.json says is about a run that was killed.
    return None


def _find_started(home: Home, process: subprocess.Popen[bytes]) -> str | None:
    if process.poll() is not None:
        raise DemoFailed(f"`manage.py up` ended with exit code {process.returncode}:")
    is_announced = read_json(home.servers_file).get("pid") == process.pid
    return _find(home) if is_announced else None


def _find(home: Home) -> str | None:
    url = read_json(home.servers_file).get("API_URL")
    if not isinstance(url, str):
        return None
    with contextlib.suppress(httpx.HTTPError):
        answer = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False)
        return url if answer.status_code == httpx.codes.OK else None
    return None


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])
