"""Archives that have to be refused, each with its code, and nothing left behind. # B-05"""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builds.clients.archives import ArchiveLimits, extract_archive, inspect_archive
from builds.errors import ArchiveRefused
from tests.unit.builds import hostile
from tests.unit.builds.hostile import raw_header, tar_file, tar_gz, tar_member, zip_of

LIMITS = ArchiveLimits(archive_bytes=100_000, unpacked_bytes=50_000_000, files=50)

INVALID, UNSAFE, BOMB = "ARCHIVE_INVALID", "ARCHIVE_UNSAFE_ENTRY", "ARCHIVE_BOMB"
TOO_LARGE, TOO_MANY = "ARCHIVE_TOO_LARGE", "ARCHIVE_TOO_MANY_FILES"

EVIL_NAMES = {
    "parent": "../evil",
    "inner-parent": "a/../../evil",
    "parent-that-stays-inside": "a/../evil",
    "last-parent": "a/..",
    "absolute": "/tmp/evil",
    "double-slash": "//tmp/evil",
    "backslash": "..\\evil",
    "drive": "C:/evil",
    "drive-relative": "c:evil",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7f",
    "c1-control": "a\x9bb",
    "long-component": "n" * 256,
    "long-path": "/".join(["n" * 200] * 6),
    "deep": "/".join(["d"] * 33),
}


def _pax(records: bytes, kind: bytes = b"x") -> bytes:
    if not records[:1].isdigit():
        # `<length> key=value`, the length counting itself.
        length = len(records) + 4
        records = f"{length:02} ".encode() + records + b"\n"
    padding = bytes(-len(records) % 512)
    return raw_header(b"pax", len(records), kind) + records + padding


def _closed(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks) + bytes(1024))


def _special(kind: bytes, **attributes: object) -> bytes:
    return tar_gz(tar_member("index.html"), tar_member("evil", b"", type=kind, **attributes))


TABLE: dict[str, tuple[str, Callable[[], bytes]]] = {
    # links and special files
    "tar-symlink": (UNSAFE, lambda: _special(tarfile.SYMTYPE, linkname="/etc/passwd")),
    "tar-symlink-inside": (UNSAFE, lambda: _special(tarfile.SYMTYPE, linkname="index.html")),
    "tar-symlink-then-file-through-it": (
        UNSAFE,
        lambda: tar_gz(
            tar_member("d", type=tarfile.SYMTYPE, linkname="/tmp"), tar_member("d/evil")
        ),
    ),
    "tar-hardlink": (UNSAFE, lambda: _special(tarfile.LNKTYPE, linkname="/etc/passwd")),
    "tar-character-device": (UNSAFE, lambda: _special(tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "tar-block-device": (UNSAFE, lambda: _special(tarfile.BLKTYPE)),
    "tar-fifo": (UNSAFE, lambda: _special(tarfile.FIFOTYPE)),
    "tar-gnu-sparse": (UNSAFE, lambda: _special(tarfile.GNUTYPE_SPARSE)),
    "tar-unknown-type": (UNSAFE, lambda: _closed(raw_header(b"evil", 0, b"Z"))),
    "tar-pax-sparse": (
        UNSAFE,
        lambda: _closed(_pax(b"GNU.sparse.major=1"), raw_header(b"a", 0)),
    ),
    "zip-symlink": (UNSAFE, lambda: hostile.zip_link("evil")),
    "zip-device": (UNSAFE, lambda: hostile.zip_mode("evil", stat.S_IFCHR | 0o666)),
    "zip-fifo": (UNSAFE, lambda: hostile.zip_mode("evil", stat.S_IFIFO | 0o666)),
    # names
    "tar-not-utf8": (UNSAFE, lambda: _closed(raw_header(b"\xff\xfe", 0))),
    "tar-pax-path-parent": (
        UNSAFE,
        lambda: _closed(_pax(b"path=../../evil"), raw_header(b"fine", 0)),
    ),
    "tar-pax-path-nul": (
        UNSAFE,
        lambda: _closed(_pax(b"path=fi\0ne"), raw_header(b"fine", 0)),
    ),
    "tar-no-name": (UNSAFE, lambda: _closed(raw_header(b"./", 0), raw_header(b".", 0))),
    "zip-nul": (
        UNSAFE,
        lambda: zip_of(("index.html", b""), ("evilXname", b"")).replace(b"evilX", b"evil\0"),
    ),
    # the same path twice
    "tar-duplicate": (UNSAFE, lambda: tar_gz(tar_member("a"), tar_member("./a"))),
    "tar-file-then-directory": (UNSAFE, lambda: tar_gz(tar_member("a"), tar_member("a/b"))),
    "tar-directory-then-file": (UNSAFE, lambda: tar_gz(tar_member("a/b"), tar_member("a"))),
    "zip-duplicate": (UNSAFE, lambda: zip_of(("a", b"1"), ("b", b"2")).replace(b"b", b"a")),
    "zip-file-then-directory": (UNSAFE, lambda: zip_of(("a", b""), ("a/b", b""))),
    # not archives
    "empty": (INVALID, lambda: b""),
    "text": (INVALID, lambda: b"<html>not an archive</html>"),
    "plain-tar": (INVALID, lambda: gzip.decompress(tar_file("a"))),
    "gzip-of-text": (INVALID, lambda: gzip.compress(b"hello" * 1000)),
    "empty-tar": (INVALID, lambda: tar_gz()),
    "empty-zip": (INVALID, lambda: zip_of()),
    "only-directories": (INVALID, lambda: tar_gz(tar_member("d", type=tarfile.DIRTYPE))),
    # damaged
    "tar-data-behind-the-end": (
        INVALID,
        lambda: gzip.compress(gzip.decompress(tar_file("a")) + raw_header(b"hidden", 0)),
    ),
    "gzip-garbage-behind-the-end": (INVALID, lambda: tar_file("a") + b"garbage"),
    "gzip-wrong-checksum": (INVALID, lambda: tar_file("a")[:-8] + b"\0\0\0\0" + tar_file("a")[-4:]),
    "tar-wrong-checksum": (
        INVALID,
        lambda: gzip.compress(b"X" + gzip.decompress(tar_file("a"))[1:]),
    ),
    "tar-directory-with-contents": (INVALID, lambda: _closed(raw_header(b"d/", 512, b"5"))),
    "tar-octal-nonsense": (INVALID, lambda: gzip.compress(_with_size(b"0000000009\0 "))),
    "tar-minus-one": (INVALID, lambda: gzip.compress(_with_size(b"-1         \0"))),
    "tar-negative-size": (
        INVALID,
        lambda: gzip.compress(_with_size(b"\xff" * 12) + bytes(1024)),
    ),
    "tar-global-path": (
        INVALID,
        lambda: _closed(_pax(b"path=abc", b"g"), raw_header(b"fine", 0)),
    ),
    "tar-pax-length-lies": (INVALID, lambda: _closed(_pax(b"99 path=a\n"), raw_header(b"a", 0))),
    "tar-pax-length-zero": (INVALID, lambda: _closed(_pax(b"0 path=a\n"), raw_header(b"a", 0))),
    "zip-encrypted": (INVALID, lambda: hostile.zip_patched(8, b"\x01\x00", central=True)),
    "zip-wrong-checksum": (INVALID, lambda: hostile.zip_patched(16, b"abcd", central=True)),
    "zip-bzip2": (INVALID, lambda: zip_of(("a", b"a" * 999), method=zipfile.ZIP_BZIP2)),
    "zip-lzma": (INVALID, lambda: zip_of(("a", b"a" * 999), method=zipfile.ZIP_LZMA)),
    "zip-local-name-differs": (
        INVALID,
        lambda: hostile.zip_patched(30, b"../evil.xx", central=False),
    ),
    "zip-size-lies-low": (
        INVALID,
        lambda: hostile.zip_patched(24, b"\x05\0\0\0", central=True),
    ),
    "zip-directory-offset-lies": (INVALID, lambda: zip_of(("a", b"a"))[1:]),
    "zip64": (INVALID, lambda: _zip64()),
    # too much
    "tar-too-many-files": (TOO_MANY, lambda: tar_gz(*(tar_member(str(n)) for n in range(51)))),
    "zip-too-many-files": (TOO_MANY, lambda: zip_of(*((str(n), b"") for n in range(51)))),
    "zip-more-entries-than-it-says": (TOO_MANY, lambda: hostile.zip_lying_count(200, says=1)),
    "tar-too-many-directories": (
        TOO_MANY,
        lambda: tar_gz(tar_member("/".join("abcdefghijklmnopqrstuvwxyz"[:26])), *_deep_files(3)),
    ),
    "tar-the-same-directory-forever": (
        TOO_MANY,
        lambda: tar_gz(*[tar_member("d", type=tarfile.DIRTYPE)] * 200),
    ),
    "tar-extended-headers-forever": (
        TOO_MANY,
        lambda: _closed(*[_pax(b"mtime=1")] * 200),
    ),
    "archive-too-large": (TOO_LARGE, lambda: tar_file("a", os.urandom(100_001))),
    "tar-huge-extended-header": (
        BOMB,
        lambda: gzip.compress(raw_header(b"pax", 40_000_000, b"x") + bytes(40_000_000)),
    ),
    "tar-huge-long-name": (
        BOMB,
        lambda: gzip.compress(raw_header(b"l", 70_000, b"L") + bytes(70_656)),
    ),
    "tar-ratio": (BOMB, lambda: tar_file("zeros", bytes(30_000_000))),
    "zip-ratio": (BOMB, lambda: zip_of(("zeros", bytes(30_000_000)))),
    "zip-overlapping": (BOMB, lambda: hostile.zip_overlapping(40)),
}
for _label, _name in EVIL_NAMES.items():
    TABLE[f"tar-name-{_label}"] = (UNSAFE, lambda name=_name: tar_file(name))  # type: ignore[misc]
    TABLE[f"zip-name-{_label}"] = (UNSAFE, lambda name=_name: zip_of((name, b"x")))  # type: ignore[misc]


def _with_size(field: bytes) -> bytes:
    header = bytearray(raw_header(b"a", 0))
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def _deep_files(count: int) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [tar_member(f"{n}/" + "/".join("abcdefghijklmnop")) for n in range(count)]


def _zip64() -> bytes:
    raw = zip_of(("index.html", b"x"))
    at = raw.index(b"PK\x05\x06")
    return raw[:at] + b"PK\x06\x07" + bytes(16) + raw[at:]


def everything_below(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


# B-05
@pytest.mark.parametrize("name", sorted(TABLE))
def test_extract_archive__hostile__refused_and_nothing_written(name: str, tmp_path: Path) -> None:
    code, make = TABLE[name]
    (tmp_path / "archive").write_bytes(make())
    (tmp_path / "a").mkdir()

    with pytest.raises(ArchiveRefused) as inspecting:
        inspect_archive(tmp_path / "archive", LIMITS)
    with pytest.raises(ArchiveRefused) as extracting:
        extract_archive(tmp_path / "archive", tmp_path / "a" / "out", LIMITS)

    assert inspecting.value.code == extracting.value.code == code
    assert inspecting.value.message == extracting.value.message
    assert inspecting.value.message.isprintable()
    assert everything_below(tmp_path) == ["a", "a/out", "archive"]
    assert not Path("/tmp/evil").exists()


# B-05
@pytest.mark.parametrize("name", ["symlink", "parent"])
def test_extract_archive__something_in_the_way__is_not_written_through(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extraction stands on its own: with the checks of names gone, nothing leaves either."""
    from builds.clients.archives import tar

    monkeypatch.setattr(tar, "entry_parts", lambda raw, limits: tuple(raw.decode().split("/")))
    evil = "../evil" if name == "parent" else "link/evil"
    (tmp_path / "archive").write_bytes(tar_file(evil))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    if name == "symlink":
        # A link that appeared between the check and the write.
        monkeypatch.setattr(Path, "iterdir", lambda self: iter(()))
        (tmp_path / "out/link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises((OSError, ValueError)):
        extract_archive(tmp_path / "archive", tmp_path / "out", LIMITS)

    assert not (tmp_path / "evil").exists()
    assert not any(os.scandir(tmp_path / "elsewhere"))


# B-05
@pytest.mark.parametrize(
    ("kind", "code"),
    [("tar.gz", BOMB), ("zip", BOMB), ("zip-directory", TOO_MANY), ("zip64-directory", INVALID)],
)
def test_inspect_archive__bomb__refused_early_in_little_memory(
    kind: str, code: str, tmp_path: Path
) -> None:
    """A gibibyte of zeros, or 300,000 names in 17 MB where one is admitted."""
    path = tmp_path / "bomb"
    if kind == "tar.gz":
        path.write_bytes(hostile.tar_zeros(1024))
    elif kind == "zip":
        hostile.zip_zeros(path, 1024)
    else:
        path.write_bytes(hostile.zip_directory(300_000, says=1, zip64=kind == "zip64-directory"))
    program = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from builds.clients.archives import ArchiveLimits, inspect_archive
from builds.errors import ArchiveRefused
from pathlib import Path
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    inspect_archive(Path({str(path)!r}), ArchiveLimits(50_000_000, 256_000_000, 10_000))
except ArchiveRefused as refused:
    print(refused.code)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"},
    )

    refusal, kib = done.stdout.split() or pytest.fail(done.stderr)
    assert refusal == code
    assert int(kib) < 8 * 1024, "KiB above the start"
