"""Turn a fetched pack into an archive like an uploaded one, in the sandbox."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from builds.builders.builder import PROGRAMS
from builds.clients.git.fetch import Fetched
from builds.clients.sandbox import SandboxLimits, run_sandboxed
from builds.errors import GitUnavailable, RepositoryRefused

NO_GIT: Final = 69
LEFT_OUT: Final = "left out "
MOST_LEFT_OUT: Final = 100


@dataclass(slots=True)
class Packed:
    """An archive of a commit's files, and what of it could not be in one."""

    path: Path
    left_out: list[str] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open what the sandbox has left, if it is a file and no way to another.

        Raises: RepositoryRefused.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            raise RepositoryRefused("The repository's files could not be packed.") from None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise RepositoryRefused("The repository's files could not be packed.")
            yield file


def pack_commit(
    fetched: Fetched,
    workspace: Path,
    *,
    max_bytes: int,
    timeout_s: float,
    memory_bytes: int,
    stop: threading.Event,
) -> Packed:
    """Take a pack apart and write its commit's files as `output/source.tar.gz`, always the same.

    Units: `max_bytes` of all files unpacked.
    Raises: RepositoryRefused, GitUnavailable, SandboxUnavailable; returns early when stopped.
    """
    output = workspace / "output"
    packed = Packed(output / "source.tar.gz")
    said: list[str] = []

    def note(stream: str, text: str) -> None:
        if stream == "stdout" and text.startswith(LEFT_OUT):
            if len(packed.left_out) < MOST_LEFT_OUT:
                packed.left_out.append(text.removeprefix(LEFT_OUT)[:400])
        elif text:
            said[:] = [text[:300]]

    command = [sys.executable, "-I", "-S", str(PROGRAMS / "pack_commit.py"), str(fetched.path)]
    result = run_sandboxed(
        [*command, fetched.commit, str(packed.path), str(max_bytes)],
        workspace=workspace,
        writable=[output],
        limits=SandboxLimits(
            timeout_s=timeout_s,
            cpu_s=int(timeout_s) + 1,
            memory_bytes=memory_bytes,
            # The pack's objects, its index and the archive.
            output_bytes=fetched.size_bytes * 2 + max_bytes * 2,
        ),
        stop=stop,
        on_line=note,
    )
    if result.exit_code == NO_GIT:
        raise GitUnavailable
    if result.outcome not in {"finished", "stopped"}:
        told = (said or [result.message])[0].replace(f"{workspace}/", "")
        raise RepositoryRefused(f"The repository cannot be used: {told}")
    return packed
