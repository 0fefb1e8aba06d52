"""The API with and without its stack, each as `manage.py up` starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench._system import ROOT, STOP_S
from flagship.management.embedded.home import free_port
from flagship.management.supervisor.child import Part, end_with_us
from flagship.management.supervisor.parts import Addresses, parts

START_S: Final = 60.0
# By what is measured: the settings of its processes.
STACKS: Final = {"stack": "config.settings", "bare": "bench.api.bare"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a running API is asked, and where its streams are."""

    api: int
    streams: int


@contextlib.contextmanager
def served(name: str, log: Path) -> Iterator[Ports]:
    """Run the api and the streams process beside the block; what they print goes to `log`."""
    ports = Ports(free_port(), free_port())
    addresses = Addresses(
        api_port=ports.api,
        streams_port=ports.streams,
        public_url=f"http://127.0.0.1:{ports.api}",
        streams_url=f"http://127.0.0.1:{ports.streams}",
    )
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": STACKS[name],
        "PUBLIC_URL": addresses.public_url,
        "STREAMS_URL": addresses.streams_url,
        # As shipped: what a request writes into the log is part of what it costs.
        "LOG_LEVEL": "INFO",
    }
    every = parts(ROOT, addresses, redis_url=os.environ["REDIS_URL"], worker_drain_s=0.0)
    with log.open("ab") as output, contextlib.ExitStack() as stack:
        for part in every:
            if part.name in ("api", "streams"):
                stack.enter_context(_running(part, env, output.fileno(), log))
        yield ports


@contextlib.contextmanager
def _running(part: Part, env: dict[str, str], output: int, log: Path) -> Iterator[None]:
    command = [*end_with_us(), *part.command]
    started = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
    )
    try:
        until = time.monotonic() + START_S
        while not part.is_up(started.pid):
            if started.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{part.name} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
