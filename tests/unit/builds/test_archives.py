"""Archives that have to be taken. # B-05"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from builds.clients.archives import ArchiveLimits, extract_archive, inspect_archive, source_root
from builds.errors import ArchiveInvalid
from tests.unit.builds import hostile

SITES = Path(__file__).parents[3] / "builds" / "fixtures" / "sites"
LIMITS = ArchiveLimits(archive_bytes=1_000_000, unpacked_bytes=2_000_000, files=100)


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(data)
    return path


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# B-05
@pytest.mark.parametrize("name", ["mdn-beginner-site.tar.gz", "starlette-docs.tar.gz"])
def test_extract_archive__real_sites__same_as_tarfile(name: str, tmp_path: Path) -> None:
    with tarfile.open(SITES / name) as archive:
        archive.extractall(tmp_path / "expected", filter="data")
    expected = tree(tmp_path / "expected")

    extract_archive(SITES / name, tmp_path / "out", LIMITS)
    summary = inspect_archive(SITES / name, LIMITS)

    assert tree(tmp_path / "out") == expected
    assert summary.kind == "tar.gz"
    assert summary.sha256 == hashlib.sha256((SITES / name).read_bytes()).hexdigest()
    assert summary.size_bytes == (SITES / name).stat().st_size
    assert summary.file_count == len(expected)
    assert summary.unpacked_bytes == sum(map(len, expected.values()))
    assert source_root(tmp_path / "out") == tmp_path / "out"


# B-05
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_extract_archive__every_tar_form__long_names_survive(form: int, tmp_path: Path) -> None:
    long_name = "/".join(["directory-with-a-name"] * 7) + "/ünï.html"
    data = hostile.tar_gz(
        hostile.tar_member("./index.html", b"<h1>hi</h1>"),
        hostile.tar_member(long_name, b"y" * 70_000),
        form=form,
    )

    extract_archive(write(tmp_path, data), tmp_path / "out", LIMITS)

    assert tree(tmp_path / "out") == {"index.html": b"<h1>hi</h1>", long_name: b"y" * 70_000}


# B-05
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_extract_archive__zip__files_and_counts(method: int, tmp_path: Path) -> None:
    data = hostile.zip_of(
        ("site/", b""), ("site/a b.html", b"a"), ("site/ü.css", b""), method=method
    )
    path = write(tmp_path, data)

    extract_archive(path, tmp_path / "out", LIMITS)
    summary = inspect_archive(path, LIMITS)

    assert tree(tmp_path / "out") == {"site/a b.html": b"a", "site/ü.css": b""}
    assert (summary.kind, summary.file_count, summary.unpacked_bytes) == ("zip", 2, 1)
    assert source_root(tmp_path / "out") == tmp_path / "out" / "site"


# B-05
def test_extract_archive__zip_written_as_a_stream__is_read(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, chunk: object) -> int:
            self.data += bytes(chunk)  # type: ignore[call-overload]
            return len(bytes(chunk))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", b"streamed")

    extract_archive(write(tmp_path, pipe.data), tmp_path / "out", LIMITS)

    assert tree(tmp_path / "out") == {"index.html": b"streamed"}


# B-05
def test_extract_archive__odd_modes__become_plain(tmp_path: Path) -> None:
    data = hostile.tar_gz(
        hostile.tar_member("bin", type=tarfile.DIRTYPE, mode=0o2000),
        hostile.tar_member("bin/tool", mode=0o6777, uid=12345),
    )
    mask = os.umask(0o077)
    try:
        extract_archive(write(tmp_path, data), tmp_path / "out", LIMITS)
    finally:
        os.umask(mask)

    status = (tmp_path / "out/bin/tool").stat()
    assert stat.S_IMODE(status.st_mode) == 0o644
    assert status.st_uid == os.getuid()
    assert stat.S_IMODE((tmp_path / "out/bin").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


# B-05
def test_extract_archive__several_gzip_members_and_padding__is_read(tmp_path: Path) -> None:
    raw = gzip.decompress(hostile.tar_file("b.html", b"z" * 5_000))
    parts = [raw[at : at + 700] for at in range(0, len(raw), 700)]
    data = b"".join(map(gzip.compress, parts)) + bytes(512)

    assert inspect_archive(write(tmp_path, data), LIMITS).file_count == 2


# B-05
def test_extract_archive__destination_in_use__is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept").write_text("kept")

    with pytest.raises(FileExistsError):
        extract_archive(write(tmp_path, hostile.tar_file("a")), tmp_path / "out", LIMITS)

    assert tree(tmp_path / "out") == {"kept": b"kept"}


# B-05
def test_inspect_archive__every_truncation__is_refused(tmp_path: Path) -> None:
    for data in (
        hostile.tar_file("a.html", bytes(range(256)) * 40),
        hostile.zip_of(("a", b"ab" * 99)),
    ):
        for length in range(0, len(data), 7):
            with pytest.raises(ArchiveInvalid):
                inspect_archive(write(tmp_path, data[:length]), LIMITS)


# B-05
def test_inspect_archive__every_flipped_byte__is_refused_or_harmless(tmp_path: Path) -> None:
    """No input makes anything but a refusal: never a crash, never a file outside."""
    for data in (hostile.tar_file("a.html", b"ab" * 200), hostile.zip_of(("a", b"ab" * 99))):
        for at in range(len(data)):
            damaged = bytearray(data)
            damaged[at] ^= 0xFF
            try:
                inspect_archive(write(tmp_path, bytes(damaged)), LIMITS)
            except Exception as error:
                assert type(error).__module__ == "builds.errors.archives", (at, repr(error))
