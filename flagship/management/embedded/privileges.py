"""Running PostgreSQL, which refuses root, when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from flagship.management.embedded.process import ServerFailed

# Bits of a capability set, capabilities(7).
DAC_OVERRIDE = 1
DAC_READ_SEARCH = 2


def server_user() -> pwd.struct_passwd:
    """Return the user that PostgreSQL runs as when we are root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerFailed("running as root needs a user `postgres` or `nobody` for PostgreSQL")


def unprivileged(command: list[str], *needed: Path) -> list[str]:
    """Wrap a command so that it runs as somebody who is not root and can enter `needed`.

    Under root the checkout may lie below a private directory (0700) that other users cannot
    enter. Opening that directory to everybody is no answer; the server keeps one capability
    instead, to pass through directories. See docs/adr/0004.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        # SIGINT is PostgreSQL's fast shutdown: no server outlives a killed supervisor.
        return [setpriv, "--pdeathsig", "INT", *command] if setpriv else command
    if setpriv is None:
        raise ServerFailed("running as root needs setpriv (util-linux), or start as another user")
    user = server_user()
    kept = _capability_for(Path(command[0]), *needed)
    return [
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--inh-caps=-all{kept}",
        f"--ambient-caps=-all{kept}",
        f"--bounding-set=-all{kept}",
        # access(2) honours the capability only with this bit; initdb asks access(2).
        *(["--securebits=+no_setuid_fixup"] if kept else []),
        "--no-new-privs",
        "--pdeathsig=INT",
        *command,
    ]


def _capability_for(*paths: Path) -> str:
    """Return the least capability with which a stranger can use the paths, as setpriv wants it.

    Containers often lack the one made for this; the wider one is taken only where it must be.
    """
    if all(_is_open(path) for path in paths):
        return ""
    held = _held()
    if held & 1 << DAC_READ_SEARCH:
        return ",+dac_read_search"
    if held & 1 << DAC_OVERRIDE:
        return ",+dac_override"
    raise ServerFailed(
        "PostgreSQL does not run as root and another user cannot enter "
        + " or ".join(str(path) for path in paths if not _is_open(path))
        + "; start as an ordinary user, or set FLAGSHIP_HOME to a place that others can enter"
    )


def _is_open(path: Path) -> bool:
    """Say whether everybody may enter the directories above a path, and read and enter it."""
    resolved = path.resolve()
    return resolved.stat().st_mode & 0o005 == 0o005 and all(
        parent.stat().st_mode & 0o001 for parent in resolved.parents
    )


def _held() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    sets = dict(line.split(":", 1) for line in status.splitlines())
    return int(sets["CapPrm"], 16) & int(sets["CapBnd"], 16)
