"""A whole system: from an empty directory to `ready`, and back to nothing running."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flagship.management.embedded import (
    APPLICATION,
    EmbeddedServers,
    Home,
    read_json,
    write_private_json,
)
from flagship.management.supervisor.child import Part
from flagship.management.supervisor.leftovers import MARK, end_leftovers
from flagship.management.supervisor.loop import Loop
from flagship.management.supervisor.parts import (
    API_PORT,
    STREAMS_PORT,
    Addresses,
    manage,
    parts,
)
from flagship.management.supervisor.ports import held_port
from flagship.management.supervisor.stop import StopRequest, listening

# What a running system adds to servers.json and takes away when it stops.
RUNNING = ("API_URL", "PUBLIC_URL", "STREAMS_URL")


class SystemFailed(Exception):
    """The system cannot start; the message says why."""


@dataclass(frozen=True, slots=True)
class System:
    """What to run and where. `given` is the environment; what it does not give is started."""

    home: Home
    root: Path
    given: Mapping[str, str]
    write: Callable[[str, str], None]
    port: int = 0
    migrate: bool = True
    worker_drain_s: float = 25.0

    def run(self) -> None:
        """Start everything, keep it running until SIGINT or SIGTERM, leave nothing running.

        Raises: HomeInUse, PortTaken, ServerFailed, SystemFailed, CrashLoop.
        """
        stop = StopRequest()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.home.lock())
            waker = stack.enter_context(listening(stop))
            if count := end_leftovers(self.home.path):
                noun = "process" if count == 1 else "processes"
                self.write("up", f"ended {count} {noun} that an earlier run left behind")
            if not self.given.get("FLAGSHIP_SECRET_KEY"):
                self.home.secret("secret_key")
            api = stack.enter_context(held_port(self.port or API_PORT, or_another=not self.port))
            streams = stack.enter_context(held_port(STREAMS_PORT, or_another=True))
            addresses = self._addresses(api, streams)
            servers = stack.enter_context(self._servers(stop))
            if not stop.requested:
                self._run_parts(servers, addresses, stop, waker)
        self.write("up", "stopped")

    @contextlib.contextmanager
    def _servers(self, stop: StopRequest) -> Iterator[EmbeddedServers]:
        servers = EmbeddedServers.for_home(
            self.home,
            postgres=not self.given.get("DATABASE_URL"),
            valkey=not self.given.get("REDIS_URL"),
        )
        names = ", ".join(servers.running)
        try:
            for name, server in servers.running.items():
                if not stop.requested:
                    self.write("up", f"starting {name}")
                    server.start()
            servers.publish()
            yield servers
        finally:
            if names:
                self.write("up", f"stopping {names}")
            servers.stop()

    def _run_parts(
        self, servers: EmbeddedServers, addresses: Addresses, stop: StopRequest, waker: int
    ) -> None:
        environment = self._environment(servers, addresses)
        loop = Loop(
            environment=environment, cwd=self.root, stop=stop, waker=waker, write=self.write
        )
        with contextlib.closing(loop):
            owner_url = servers.environment.get("DATABASE_OWNER_URL") or self.given.get(
                "DATABASE_OWNER_URL"
            )
            if not owner_url and "DATABASE_TENANT_ROLE" not in self.given:
                # The owner of the tables is bound by no policy, and nobody made the role.
                self.write("up", "no DATABASE_OWNER_URL: running without row-level security")
                environment["DATABASE_TENANT_ROLE"] = ""
            if self.migrate:
                self._migrate(loop, environment, owner_url)
            with self._announced(addresses) as announce:
                loop.run(
                    parts(
                        self.root,
                        addresses,
                        redis_url=environment["REDIS_URL"],
                        worker_drain_s=self.worker_drain_s,
                    ),
                    on_ready=announce,
                    tend=lambda: self._tend(servers),
                )

    def _addresses(self, api: int, streams: int) -> Addresses:
        return Addresses(
            api_port=api,
            streams_port=streams,
            public_url=self.given.get("PUBLIC_URL") or f"http://127.0.0.1:{api}",
            streams_url=self.given.get("STREAMS_URL") or f"http://127.0.0.1:{streams}",
        )

    def _environment(self, servers: EmbeddedServers, addresses: Addresses) -> dict[str, str]:
        """Return what the parts get; the owner's address, which may change tables, is kept back."""
        environment = {
            **self.given,
            **servers.environment,
            "FLAGSHIP_HOME": str(self.home.path),
            "PUBLIC_URL": addresses.public_url,
            "STREAMS_URL": addresses.streams_url,
            "PYTHONUNBUFFERED": "1",
            MARK: str(self.home.path),
        }
        environment.pop("DATABASE_OWNER_URL", None)
        if hosts := self.given.get("ALLOWED_HOSTS"):
            # We ask the api whether it is ready under this name.
            environment["ALLOWED_HOSTS"] = f"{hosts},127.0.0.1"
        return environment

    def _migrate(self, loop: Loop, environment: Mapping[str, str], owner_url: str | None) -> None:
        """Bring the tables up to date, as their owner where there is one."""
        as_owner = {**environment, "DATABASE_URL": owner_url or environment["DATABASE_URL"]}
        commands = [["migrate", "--noinput", "--verbosity=0"]]
        if owner_url:
            role = urlsplit(environment["DATABASE_URL"]).username or APPLICATION
            commands.append(["grant_application_role", role])
        for command in commands:
            part = Part("migrate", manage(self.root, *command))
            code = loop.run_task(part, as_owner)
            if code and not loop.stop.requested:
                raise SystemFailed(f"manage.py {' '.join(command)} failed; its output is above")

    @contextlib.contextmanager
    def _announced(self, addresses: Addresses) -> Iterator[Callable[[], None]]:
        """Yield what tells people and other commands that the system runs; undo it at the end."""

        def announce() -> None:
            urls = (addresses.api_url, addresses.public_url, addresses.streams_url)
            known = read_json(self.home.servers_file)
            known |= dict(zip(RUNNING, urls, strict=True)) | {"pid": os.getpid()}
            write_private_json(self.home.servers_file, known)
            self.write(
                "up",
                f"ready: api {addresses.public_url}, console {addresses.public_url}/admin/,"
                f" docs {addresses.public_url}/v1/docs, streams {addresses.streams_url}",
            )

        try:
            yield announce
        finally:
            known = read_json(self.home.servers_file)
            kept = {name: value for name, value in known.items() if name not in (*RUNNING, "pid")}
            write_private_json(self.home.servers_file, kept)

    def _tend(self, servers: EmbeddedServers) -> None:
        for line in servers.revive():
            self.write("up", line)
