"""An environment for each peer, made once and kept below `.flagship/bench`."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench._system import ROOT

CACHE: Final = ROOT / ".flagship" / "bench"
PEERS: Final = Path(__file__).parent / "peers"
REQUIREMENTS: Final = PEERS / "requirements"
OLDEST: Final = {"oban": (3, 12)}
"""Peers that refuse our own interpreter."""


class Missing(Exception):
    """This machine lacks what a peer needs; the message says what."""


def install(names: Iterable[str]) -> dict[str, str]:
    """Make the environments that are not there; return why for those that cannot be."""
    missing = {}
    for name in names:
        try:
            _install(name)
        except Missing as error:
            missing[name] = str(error)
    return missing


def bin_of(name: str) -> Path:
    """Return the directory of a peer's commands."""
    place = CACHE / name
    return place / "node_modules" / ".bin" if name == "bullmq" else place / "bin"


def version_of(name: str) -> str:
    """Return the pinned version of a peer."""
    if name == "bullmq":
        text = (REQUIREMENTS / "bullmq" / "package.json").read_text()
        return text.split('"bullmq": "')[1].split('"')[0]
    pins = dict(
        line.lower().split("==")
        for line in (REQUIREMENTS / f"{name}.txt").read_text().split()
        if "==" in line
    )
    return pins[name]


def _install(name: str) -> None:
    place = CACHE / name
    source = REQUIREMENTS / ("bullmq/package.json" if name == "bullmq" else f"{name}.txt")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    ready = place / "ready"
    if ready.exists() and ready.read_text() == digest:
        return
    print(f"installing {name}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        if name == "bullmq":
            _node(source, place)
        else:
            _python(name, source, place)
    except subprocess.CalledProcessError as error:
        raise Missing(f"it could not be installed: {error.stderr.strip()[-300:]}") from None
    ready.write_text(digest)


def _python(name: str, requirements: Path, place: Path) -> None:
    python = sys.executable
    if OLDEST.get(name, (3, 0)) > sys.version_info:
        python = _newer(OLDEST[name])
    _run(python, "-m", "venv", str(place))
    pip = (str(place / "bin" / "python"), "-m", "pip", "install", "--quiet")
    _run(*pip, "--disable-pip-version-check", "-r", str(requirements))


def _node(package: Path, place: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("there is no npm here")
    shutil.copy(package, place)
    _run(npm, "install", "--silent", "--no-audit", "--no-fund", cwd=place)


@functools.cache
def _newer(wanted: tuple[int, int]) -> str:
    """Find an interpreter of at least that version.

    Raises: Missing.
    """
    candidates = [f"python3.{minor}" for minor in range(wanted[1], wanted[1] + 4)]
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    paths = [path for name in candidates if (path := shutil.which(name))]
    paths += [str(path) for home in homes for path in sorted(home.glob("3.*/bin/python"))]
    test = f"import sys; sys.exit(sys.version_info < {wanted!r})"
    for path in paths:
        if subprocess.run([path, "-c", test], capture_output=True, check=False).returncode == 0:
            return path
    raise Missing(f"it needs Python {'.'.join(map(str, wanted))}, which is not on this machine")


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
