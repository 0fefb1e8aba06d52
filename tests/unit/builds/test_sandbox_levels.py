"""What each level of isolation promises, and which one is chosen. # B-05"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from builds.clients.sandbox import SandboxLimits, isolation, levels, run_sandboxed
from builds.clients.sandbox.lines import LINE_BYTES, LineCutter
from builds.errors import SandboxUnavailable
from tests.unit.builds.sandboxed import Sandbox


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels are chosen anew in every test."""
    monkeypatch.setattr(levels, "_found", {})


@pytest.fixture
def server() -> Iterator[int]:
    """A port of this machine that somebody listens on, as PostgreSQL and Valkey do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


# B-05
def test_sandbox__closed__has_no_network(closed_sandbox: Sandbox, server: int) -> None:
    code = f"""
    import socket
    try:
        socket.create_connection(("127.0.0.1", {server}), timeout=3)
        print("connected")
    except OSError as error:
        print("refused")
    """

    closed_sandbox.python(code)

    assert closed_sandbox.text() == "refused"


# B-05
def test_sandbox__closed__sees_no_file_of_the_worker(closed_sandbox: Sandbox) -> None:
    home = closed_sandbox.workspace.parents[2]
    secret = home / "secrets.json"
    secret.write_text("secret")
    secret.chmod(0o644)
    other = closed_sandbox.workspace.parent / "build-other"
    other.mkdir(mode=0o755)
    (other / "page.md").write_text("another organization's")
    code = f"""
    import os
    files = [{str(secret)!r}, {str(other / "page.md")!r}]
    for path in [*files, "/etc/passwd", "/proc/{os.getpid()}/environ"]:
        try: print("read", path, open(path).read()[:10])
        except OSError: pass
    for path in [{str(home)!r}, {str(other.parent)!r}, "/root", "/home"]:
        try: print("listed", path, os.listdir(path))
        except OSError: pass
    """

    closed_sandbox.python(code)

    name = closed_sandbox.workspace.name
    allowed = {
        # Directories above the workspace exist in a file system of the build's own, empty.
        f"listed {home} ['storage']",
        f"listed {other.parent} ['{name}']",
    }
    lines = {
        line for line in closed_sandbox.text().splitlines() if not line.startswith("listed /root")
    }
    assert lines <= allowed


# B-05
def test_sandbox__closed__cannot_signal_the_worker(closed_sandbox: Sandbox) -> None:
    code = f"""
    import os
    try: os.kill({os.getpid()}, 0); print("could")
    except OSError: print("could not")
    """

    closed_sandbox.python(code)

    assert closed_sandbox.text() == "could not"


# B-05
def test_isolation__required_without_bubblewrap__is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BUILD_SANDBOX, settings.STORAGE_DIR = "required", tmp_path
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (tmp_path / "w").mkdir()

    with pytest.raises(SandboxUnavailable) as refused:
        run_sandboxed(
            ["/bin/touch", str(tmp_path / "ran")],
            workspace=tmp_path / "w",
            writable=[],
            limits=SandboxLimits(),
            stop=threading.Event(),
            on_line=lambda stream, line: None,
        )

    assert refused.value.code == "SANDBOX_UNAVAILABLE"
    assert "bubblewrap (bwrap) is not installed" in refused.value.message
    assert not (tmp_path / "ran").exists()


# B-05
def test_isolation__bubblewrap_that_does_not_work__is_not_used(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    settings.STORAGE_DIR = tmp_path / "storage"

    settings.BUILD_SANDBOX = "auto"
    assert isolation() != "bubblewrap"
    settings.BUILD_SANDBOX = "required"
    with pytest.raises(SandboxUnavailable, match="No permissions to create new namespace"):
        isolation()


# B-05
def test_isolation__off__never_bubblewrap(settings: Settings, tmp_path: Path) -> None:
    settings.BUILD_SANDBOX, settings.STORAGE_DIR = "off", tmp_path / "storage"

    assert isolation() != "bubblewrap"


# B-05
def test_sandbox__command_that_is_not_there__is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxUnavailable, match=r"/nowhere/builder: FileNotFoundError"):
        sandbox.run(["/nowhere/builder", sandbox.marker])


# B-05
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_line_cutter__any_chunks__same_lines(size: int) -> None:
    written = (
        b"plain\n\x1b[1;31mred\x1b[0m\ttab\r\n"
        b"10%\r50%\r100%\n\x1b]0;title\x07bell\x07\n"
        b"\xff\xfe bytes\n" + "ünï\u2028code".encode() + b"\nnul\0here\n\n" + b"last"
    )
    cutter = LineCutter()

    lines = [
        line for at in range(0, len(written), size) for line in cutter.feed(written[at : at + size])
    ]
    lines += cutter.close()

    assert lines == [
        *("plain", "red\ttab", "10%", "50%", "100%", "bell", "\ufffd\ufffd bytes"),
        *("ünï\u2028code", "nulhere", "", "last"),
    ]


# B-05
@pytest.mark.parametrize("size", [1000, 8192, 50_000, 1_000_000])
def test_line_cutter__endless_line__is_cut_once(size: int) -> None:
    written = b"x" * 300_000 + b"\nnext\n" + b"y" * LINE_BYTES + b"\n" + b"z" * 300_000
    cutter = LineCutter()

    lines = [
        line for at in range(0, len(written), size) for line in cutter.feed(written[at : at + size])
    ]
    lines += cutter.close()

    assert lines == [
        "x" * LINE_BYTES + " [cut]",
        "next",
        "y" * LINE_BYTES,
        "z" * LINE_BYTES + " [cut]",
    ]


def test_sandbox__interpreter_reached_over_a_link_elsewhere__still_runs(
    closed_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-05: as with an interpreter that is on the PATH by a link of its own.
    real = os.path.realpath(closed_sandbox.python_path)
    with tempfile.TemporaryDirectory(prefix="flagship-link-") as directory:
        Path(directory).chmod(0o755)
        hop, first = Path(directory) / "python3", Path(directory) / "venv-python"
        hop.symlink_to(real)
        first.symlink_to(hop)
        monkeypatch.setattr(sys, "executable", str(first))

        again = [closed_sandbox.run([str(hop), "-I", "-S", "-c", "print('here')"]) for _ in "12"]

    assert [result.outcome for result in again] == ["finished", "finished"]
    assert closed_sandbox.text() == "here\nhere"
