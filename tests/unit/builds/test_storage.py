"""Files under their digests, whoever writes at the same time. # B-05"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from builds.clients import storage
from builds.errors import ArchiveTooLarge, OutputTooLarge, OutputUnsafeEntry


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Path:
    settings.STORAGE_DIR = tmp_path / "storage"
    return tmp_path / "storage"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    (directory / "css").mkdir(parents=True)
    (directory / "index.html").write_text("<h1>hi</h1>")
    (directory / "css/a.css").write_text("h1 {}")
    return directory


def left_in_work(home: Path) -> list[str]:
    return [path.name for path in (home / "work").iterdir()]


def together(count: int, do: Callable[[], object]) -> list[object]:
    """Run the same thing in threads that start at once; return the results or errors."""
    barrier = threading.Barrier(count)
    results: list[object] = []

    def run() -> None:
        barrier.wait()
        try:
            results.append(do())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# B-05
def test_store_source__chunks__kept_under_their_digest(home: Path) -> None:
    stored = storage.store_source([b"ab", b"", b"c"], max_bytes=3)

    assert stored.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert stored.path == storage.source_path(stored.sha256)
    assert (stored.path.read_bytes(), stored.size_bytes) == (b"abc", 3)
    assert stored.path == home / "sources" / stored.sha256[:2] / stored.sha256
    assert left_in_work(home) == []


# B-05
def test_store_source__too_large__stops_reading_and_keeps_nothing(home: Path) -> None:
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x" * 10

    with pytest.raises(ArchiveTooLarge) as refused:
        storage.store_source(chunks(), max_bytes=25)

    assert (refused.value.code, refused.value.status) == ("ARCHIVE_TOO_LARGE", 413)
    assert len(taken) == 3
    assert left_in_work(home) == []
    assert not (home / "sources").exists()


# B-05
def test_store_source__client_goes_away__keeps_nothing(home: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        storage.store_source(chunks(), max_bytes=25)

    assert left_in_work(home) == []


# B-05
def test_store_source__race__one_file() -> None:
    results = together(16, lambda: storage.store_source([b"same"] * 100, max_bytes=1000))

    assert len({result for result in results}) == 1
    stored = storage.store_source([b"same" * 100], max_bytes=1000)
    assert os.listdir(stored.path.parent) == [stored.sha256]


# B-05
@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_source_path__not_a_digest__is_an_error(digest: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256 digest"):
        storage.source_path(digest)
    with pytest.raises(ValueError, match="not a SHA-256 digest"):
        storage.artifact_path(digest)


# B-05
def test_store_artifact__tree__kept_under_a_digest_of_names_and_contents(
    site: Path, home: Path
) -> None:
    (site / "empty/inner").mkdir(parents=True)
    (site / "index.html").chmod(0o4777)

    stored = storage.store_artifact(site)

    lines = [
        f"{hashlib.sha256(b'h1 {}').hexdigest()} 5 css/a.css\n",
        f"{hashlib.sha256(b'<h1>hi</h1>').hexdigest()} 11 index.html\n",
    ]
    assert stored.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert (stored.file_count, stored.size_bytes) == (2, 16)
    assert stored.path == storage.artifact_path(stored.sha256)
    kept = sorted(str(path.relative_to(stored.path)) for path in stored.path.rglob("*"))
    assert kept == ["css", "css/a.css", "index.html"]
    assert stat.S_IMODE((stored.path / "index.html").stat().st_mode) == 0o644
    assert stat.S_IMODE((stored.path / "css").stat().st_mode) == 0o755
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o755
    assert left_in_work(home) == []


# B-05
def test_store_artifact__twice__is_the_same(site: Path) -> None:
    first = storage.store_artifact(site)
    inode = first.path.stat().st_ino
    (site / "index.html").touch()

    assert storage.store_artifact(site) == first
    assert first.path.stat().st_ino == inode


# B-05
@pytest.mark.parametrize("change", ["name", "content", "split"])
def test_store_artifact__any_difference__is_another_digest(change: str, site: Path) -> None:
    first = storage.store_artifact(site)
    if change == "name":
        (site / "index.html").rename(site / "Index.html")
    elif change == "content":
        (site / "index.html").write_text("<h1>ho</h1>")
    else:
        (site / "css/a.css").rename(site / "cssa.css")

    assert storage.store_artifact(site).sha256 != first.sha256


# B-05
def test_store_artifact__race__one_artifact(site: Path, home: Path) -> None:
    for number in range(20):
        (site / f"{number}.html").write_text(str(number))

    results = together(8, lambda: storage.store_artifact(site))

    assert len({result for result in results}) == 1, results
    stored = storage.store_artifact(site)
    assert stored.file_count == 22
    assert os.listdir(stored.path.parent) == [stored.sha256]
    assert left_in_work(home) == []


# B-05
@pytest.mark.parametrize(
    "kind", ["symlink", "directory-symlink", "fifo", "hardlink", "socket", "name", "bytes"]
)
def test_store_artifact__not_a_plain_file__is_refused(kind: str, site: Path, home: Path) -> None:
    if kind == "symlink":
        (site / "evil").symlink_to("/etc/passwd")
    elif kind == "directory-symlink":
        (site / "evil").symlink_to("/etc")
    elif kind == "fifo":
        os.mkfifo(site / "evil")
    elif kind == "hardlink":
        (site / "evil").hardlink_to(site / "index.html")
    elif kind == "socket":
        subprocess.run(
            [sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).bind('evil')"],
            cwd=site,
            check=True,
        )
    else:
        name = b"evil\n" if kind == "name" else b"evil\xff"
        (site / os.fsdecode(name)).write_text("")

    with pytest.raises(OutputUnsafeEntry) as refused:
        storage.store_artifact(site)

    assert refused.value.code == "OUTPUT_UNSAFE_ENTRY"
    assert refused.value.message.encode()
    assert not (home / "artifacts").exists()
    assert left_in_work(home) == []


# B-05
@pytest.mark.parametrize("limits", [{"max_bytes": 15}, {"max_files": 1}])
def test_store_artifact__too_large__is_refused(
    limits: dict[str, int], site: Path, home: Path
) -> None:
    with pytest.raises(OutputTooLarge) as refused:
        storage.store_artifact(site, **limits)

    assert refused.value.code == "OUTPUT_TOO_LARGE"
    assert not (home / "artifacts").exists()
    assert storage.store_artifact(site, max_bytes=16, max_files=2).file_count == 2


# B-05
def test_workspace__private_and_removed_whatever_is_in_it() -> None:
    with storage.workspace() as directory:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "locked/inner").mkdir(parents=True)
        (directory / "locked/inner/file").write_text("x")
        (directory / "locked/link").symlink_to("/etc")
        (directory / "locked/inner").chmod(0)
        (directory / "locked").chmod(0)

    assert not directory.exists()
    assert Path("/etc/passwd").exists()


# B-05
def test_workspace__deeper_than_paths_can_be__is_removed(home: Path) -> None:
    """A build gets there with mkdir and chdir."""
    with storage.workspace() as directory:
        handle = os.open(directory, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deep", dir_fd=handle)
            inner = os.open("deep", os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = inner
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
        os.close(handle)

        with pytest.raises(OutputUnsafeEntry, match="lies too deep"):
            storage.store_artifact(directory)

    assert left_in_work(home) == []


# B-05
def test_workspace__error_inside__is_removed_too() -> None:
    with pytest.raises(KeyboardInterrupt), storage.workspace() as directory:
        raise KeyboardInterrupt

    assert not directory.exists()


# W-13
def test_sweep_workspaces__only_what_nobody_holds_and_is_old(home: Path) -> None:
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, django; from django.conf import settings\n"
            f"settings.configure(STORAGE_DIR={str(home)!r})\n"
            "from builds.clients.storage import workspace\n"
            "with workspace() as path: (path / 'file').touch(); os.kill(os.getpid(), 9)",
        ],
        cwd=Path(__file__).parents[3],
    )
    assert killed.returncode == -9
    draft = home / "work" / "source-draft"
    draft.write_text("half")
    with storage.workspace() as held:
        assert storage.sweep_workspaces(older_than_s=3600) == 0
        assert len(left_in_work(home)) == 3

        time.sleep(0.02)
        assert storage.sweep_workspaces(older_than_s=0) == 2
        assert left_in_work(home) == [held.name]

    assert left_in_work(home) == []
