"""Pack a commit's files: python pack_commit.py PACK COMMIT ARCHIVE MAX_BYTES.

Runs in the sandbox with the standard library and git, which reads a stranger's pack here and is
told to believe nothing but its own defaults. Files come out as they are stored: no attributes, no
filters (a Git LFS pointer stays one), no hooks, no submodules. The archive is the same for the
same commit. What an archive of a site cannot hold is left out, and named on standard output.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

NO_GIT: Final = 69
_FILES: Final = {"100644": 0o644, "100755": 0o755, "100664": 0o644}
_KINDS: Final = {"120000": "a symbolic link", "160000": "a submodule"}
_SETTINGS: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "",
}


class Refused(Exception):
    """The repository cannot be used; the message says why."""


class Git:
    """A bare repository with one pack."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._environment = {**os.environ, **_SETTINGS, "GIT_DIR": str(directory)}

    def start(
        self, *words: str, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a command of git."""
        return subprocess.Popen(  # noqa: S603
            [self._program, *words],
            env=self._environment,
            cwd=self._directory.parent,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> bytes:
        """Run a command of git; return what it said. Raises: Refused with git's reason."""
        with self.start(*words, stdin=stdin) as process:
            said, error = process.communicate()
        if process.returncode:
            lines = error.decode("utf-8", "replace").strip().splitlines() or ["git failed"]
            raise Refused(lines[-1])
        return said


def entries(git: Git, commit: str) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield mode, object, size and path of everything in a commit, in the order of the tree."""
    for record in git.run("ls-tree", "-r", "-z", "--long", "--full-tree", commit).split(b"\0"):
        if record:
            head, _, path = record.partition(b"\t")
            mode, _, name, size = head.decode("ascii").split()
            yield mode, name, 0 if size == "-" else int(size), path


def pack(git: Git, commit: str, archive: Path, max_bytes: int) -> None:
    """Write the files of a commit. Raises: Refused for more than MAX_BYTES, before any is read."""
    files = []
    for mode, name, size, path in entries(git, commit):
        if mode in _FILES:
            files.append((_FILES[mode], name, size, path))
        else:
            shown = path.decode("utf-8", "backslashreplace")
            print(f"left out {shown!r}: {_KINDS.get(mode, 'not a file')}")  # noqa: T201
    total = sum(size for _, _, size, _ in files)
    if total > max_bytes:
        raise Refused(f"its files take {total} bytes, more than {max_bytes}")
    with (
        git.start("cat-file", "--batch", stdin=subprocess.PIPE) as reader,
        archive.open("xb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for rights, name, size, path in files:
            entry = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
            entry.size, entry.mode = size, rights
            tar.addfile(entry, io.BytesIO(_blob(reader, name, size)))
        _present(reader.stdin).close()


def _blob(reader: subprocess.Popen[bytes], name: str, size: int) -> bytes:
    stdin, stdout = _present(reader.stdin), _present(reader.stdout)
    stdin.write(f"{name}\n".encode())
    stdin.flush()
    if stdout.readline().split() != [name.encode(), b"blob", str(size).encode()]:
        raise Refused(f"object {name} is missing or no file")
    data = stdout.read(size)
    stdout.read(1)
    return data


def _present(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("git was started without its pipes")
    return pipe


def main(arguments: list[str]) -> int:
    """Pack, or say on standard error why not."""
    source, commit, archive, max_bytes = arguments
    program = shutil.which("git")
    if program is None:
        return NO_GIT
    git = Git(program, Path(archive).parent / "repository.git")
    try:
        git.run("init", "--quiet", "--bare", "--template=")
        with open(source, "rb") as stream:
            git.run("index-pack", "--stdin", "--threads=1", stdin=stream)
        pack(git, commit, Path(archive), int(max_bytes))
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
