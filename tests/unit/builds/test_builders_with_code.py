"""The builders that run a site's own programs: `sphinx` and `npm`. # B-05"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builds.builders import builder_names, get_builder, npm
from builds.clients.archives import ArchiveLimits, extract_archive, source_root
from builds.clients.sandbox import SandboxResult
from builds.errors import BuilderOptionsInvalid, SiteConfigurationRefused, UnknownBuilder
from tests.unit.builds.sandboxed import Sandbox, open_sandbox

SITES = Path(__file__).parents[3] / "builds" / "fixtures" / "sites"
LIMITS = ArchiveLimits(archive_bytes=1_000_000, unpacked_bytes=2_000_000, files=100)
MARKED = "marked-manual/vendor/marked-17.0.6.tgz"

needs_node = pytest.mark.skipif(
    not npm.BUILDER.is_offered, reason="Node is not installed where builds see it"
)


@pytest.fixture
def sandbox(settings: Any) -> Iterator[Sandbox]:
    """A sandbox that lets sites bring code."""
    yield from open_sandbox("bubblewrap", settings)


def build(
    sandbox: Sandbox, name: str, root: Path | None = None, **options: object
) -> SandboxResult:
    builder = get_builder(name)
    options = builder.validate_options(options)
    root = root or sandbox.source
    for line in builder.prepare(root, sandbox.output, options):
        sandbox.on_line("notes", line)
    command = builder.command(root, sandbox.output, options)
    assert command is not None
    return sandbox.run(
        [*command],
        timeout_s=60,
        cpu_s=60,
        memory_bytes=1024**3,
        output_bytes=64 * 1024**2,
        processes=builder.LIMITS.processes,
    )


def unpack(sandbox: Sandbox, site: str) -> Path:
    extract_archive(SITES / f"{site}.tar.gz", sandbox.source, LIMITS)
    return source_root(sandbox.source)


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def package(**more: object) -> dict[str, str]:
    """The two files of a package without dependencies."""
    fields = {"name": "site", "version": "1.0.0", "lockfileVersion": 3, **more}
    lock = {**fields, "packages": {"": {"name": "site", "version": "1.0.0"}}}
    return {"package.json": json.dumps(fields), "package-lock.json": json.dumps(lock)}


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A server of this machine that notes who came."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    came.append(str(server.accept()[1]))
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)


# --- sphinx -----------------------------------------------------------------------------------


# B-05
def test_sphinx__real_site__is_built(sandbox: Sandbox) -> None:
    root = unpack(sandbox, "alabaster-docs")

    result = build(sandbox, "sphinx", root)

    assert result.outcome == "finished", sandbox.lines
    assert "build succeeded" in sandbox.text()
    assert sandbox.text("notes") == "conf.py is in docs"
    assert get_builder("sphinx").check(sandbox.output) == []
    assert "A light, configurable Sphinx theme" in (sandbox.output / "index.html").read_text()
    assert (sandbox.output / "customization.html").is_file()
    assert not (sandbox.output / ".doctrees").exists()


# B-05
def test_sphinx__strict__turns_warnings_into_failure(sandbox: Sandbox) -> None:
    write(sandbox.source, {"conf.py": "project = 'S'\n", "index.rst": "S\n=\n\n:doc:`gone`\n"})

    assert build(sandbox, "sphinx").outcome == "finished"
    assert "unknown document: 'gone'" in sandbox.text("stderr")
    assert build(sandbox, "sphinx", strict=True).outcome == "failed"


# B-05
def test_sphinx__configuration_that_fails__says_why(sandbox: Sandbox) -> None:
    write(sandbox.source, {"conf.py": "extensions = ['no_such_module']\n", "index.rst": "S\n=\n"})

    result = build(sandbox, "sphinx")

    assert (result.outcome, result.exit_code) == ("failed", 2)
    assert "Could not import extension no_such_module" in sandbox.text("stderr")


# B-05
def test_sphinx__configuration_that_attacks__reaches_nothing(sandbox: Sandbox) -> None:
    secret = sandbox.workspace.parent / "secret"
    secret.write_text("s3cret")
    with listener() as (port, came):
        attack = f"""
            import os, pathlib, socket
            found = []
            for act in (
                lambda: pathlib.Path({str(secret)!r}).read_text(),
                lambda: socket.create_connection(("127.0.0.1", {port}), 2),
                lambda: pathlib.Path({str(sandbox.source / "new")!r}).write_text("x"),
            ):
                try:
                    found.append(str(act()))
                except OSError as error:
                    found.append("refused")
            html_title = " ".join(found)
        """
        write(sandbox.source, {"index.rst": "S\n=\n\n.. include:: /../../../../secret\n"})
        lines = attack.strip("\n").splitlines()
        (sandbox.source / "conf.py").write_text("\n".join(line[12:] for line in lines))

        assert build(sandbox, "sphinx").outcome == "finished", sandbox.lines

    page = (sandbox.output / "index.html").read_text()
    assert "refused refused refused" in page
    assert "s3cret" not in page
    assert came == []
    secret.unlink()


# B-05
def test_sphinx__directory__is_the_one_that_is_named(sandbox: Sandbox) -> None:
    for name in ("docs", "manual"):
        write(sandbox.source / name, {"conf.py": "", "index.rst": f"{name}\n======\n"})

    assert build(sandbox, "sphinx", directory="manual").outcome == "finished"
    assert "manual" in (sandbox.output / "index.html").read_text()
    with pytest.raises(SiteConfigurationRefused):
        build(sandbox, "sphinx", directory="elsewhere")


# --- npm --------------------------------------------------------------------------------------


@needs_node  # B-05
def test_npm__real_site__is_built(sandbox: Sandbox) -> None:
    root = unpack(sandbox, "marked-manual")

    result = build(sandbox, "npm", root)

    assert result.outcome == "finished", sandbox.lines
    assert "added 1 package" in sandbox.text() and "2 pages" in sandbox.text()
    assert get_builder("npm").check(sandbox.output) == []
    assert "a javascript markdown parser</h1>" in (sandbox.output / "index.html").read_text()
    assert sorted(path.name for path in sandbox.output.iterdir()) == ["index.html", "licence.html"]


class Registry(SimpleHTTPRequestHandler):
    """As much of a registry as an installation asks for."""

    def do_GET(self) -> None:
        if self.path == "/marked":
            self.path = "/marked.json"
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@needs_node  # B-05
def test_npm__offline_cache_in_the_source__is_honoured(sandbox: Sandbox, tmp_path: Path) -> None:
    with tarfile.open(SITES / "marked-manual.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    site = tmp_path / "marked-manual"
    shutil.copy(tmp_path / MARKED, tmp_path / "marked.tgz")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Registry, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = f"http://127.0.0.1:{server.server_port}"
    lock = json.loads((site / "package-lock.json").read_text())
    marked = lock["packages"]["node_modules/marked"]
    marked["resolved"] = f"{registry}/marked.tgz"
    version = {
        "name": "marked",
        "version": "17.0.6",
        "dist": {"tarball": marked["resolved"], "integrity": marked["integrity"]},
    }
    about = {"name": "marked", "dist-tags": {"latest": "17.0.6"}, "versions": {"17.0.6": version}}
    (tmp_path / "marked.json").write_text(json.dumps(about))
    for name in ("package.json", "package-lock.json"):
        text = json.dumps(lock) if "lock" in name else (site / name).read_text()
        (site / name).write_text(text.replace("file:vendor/marked-17.0.6.tgz", "17.0.6"))
    shutil.rmtree(site / "vendor")
    command = ["npm", "ci", "--cache", ".npm-cache", "--registry", registry, "--no-audit"]
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(command, cwd=site, env=home, check=True, capture_output=True)
    server.shutdown()
    server.server_close()
    shutil.rmtree(site / "node_modules")
    shutil.copytree(site, sandbox.source, dirs_exist_ok=True)

    result = build(sandbox, "npm")

    assert result.outcome == "finished", sandbox.lines
    assert "a javascript markdown parser</h1>" in (sandbox.output / "index.html").read_text()

    shutil.rmtree(sandbox.source / ".npm-cache")
    shutil.rmtree(sandbox.workspace / "home")
    assert build(sandbox, "npm").outcome == "failed"
    assert "ENOTCACHED" in sandbox.text("stderr")


@needs_node  # B-05
def test_npm__script_that_attacks__reaches_nothing(sandbox: Sandbox) -> None:
    secret = sandbox.workspace.parent / "secret"
    secret.write_text("s3cret")
    program = """
        const fs = require("fs"), net = require("net");
        const found = [];
        try { found.push(fs.readFileSync(process.argv[2], "utf8")); } catch { found.push("none"); }
        try { fs.writeFileSync(process.argv[4], "x"); } catch { found.push("refused"); }
        const done = (told) => {
          fs.mkdirSync("out"); fs.writeFileSync("out/index.html", [...found, told].join(" "));
          process.exit(0);
        };
        net.connect(Number(process.argv[3]), "127.0.0.1").on("error", () => done("cut"))
          .on("connect", () => done("connected"));
    """
    with listener() as (port, came):
        run = f"node attack.cjs {secret} {port} {sandbox.source}/new"
        write(sandbox.source, {**package(scripts={"make": run}), "attack.cjs": program})

        result = build(sandbox, "npm", script="make", directory="out")

    assert result.outcome == "finished", sandbox.lines
    assert (sandbox.output / "index.html").read_text() == "none refused cut"
    assert came == []
    secret.unlink()


@needs_node  # B-05
@pytest.mark.parametrize(
    ("files", "said"),
    [
        (package(scripts={"build": "exit 7"}), ""),
        (package(), 'Missing script: "build"'),
        (package(scripts={"build": "true"}), "left no directory `dist`"),
        (package(dependencies={"marked": "17.0.6"}), "ENOTCACHED"),
        ({**package(), "package-lock.json": "{"}, "npm"),
    ],
)
def test_npm__site_that_cannot_build__fails_with_a_reason(
    files: dict[str, str], said: str, sandbox: Sandbox
) -> None:
    write(sandbox.source, files)

    result = build(sandbox, "npm")

    assert result.outcome == "failed"
    assert said in sandbox.text("stderr")
    assert list(sandbox.output.iterdir()) == []


@needs_node  # B-05
def test_npm__memory__is_bounded_by_the_builder(sandbox: Sandbox) -> None:
    hog = "const all = []; for (;;) all.push(Buffer.alloc(64 * 1024 * 1024, 1));"
    write(sandbox.source, {**package(scripts={"build": "node hog.cjs"}), "hog.cjs": hog})

    assert build(sandbox, "npm").outcome in {"out_of_memory", "failed"}
    assert list(sandbox.output.iterdir()) == []


# B-05
def test_npm__machine_without_node__does_not_offer_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(npm, "_PATH", str(tmp_path))

    assert "npm" not in builder_names()
    with pytest.raises(UnknownBuilder) as refused:
        get_builder("npm")
    assert "npm" not in refused.value.data["builders"]


# --- both -------------------------------------------------------------------------------------


# B-05
@pytest.mark.parametrize("level", ["namespaces", "landlock", "process"])
@pytest.mark.parametrize("name", ["sphinx", pytest.param("npm", marks=needs_node)])
def test_builder_with_code__below_bubblewrap__refuses_before_anything_ran(
    name: str, level: Any, settings: Any
) -> None:
    for sandbox in open_sandbox(level, settings):
        if sandbox.python_path != sys.executable:
            pytest.skip("the interpreter lies below a private directory")
        touch = f"touch {sandbox.output}/ran"
        conf = f"open({str(sandbox.output / 'ran')!r}, 'w')\n"
        files = {**package(scripts={"build": touch}), "conf.py": conf, "index.rst": "S\n=\n"}
        write(sandbox.source, files)

        result = build(sandbox, name)

        assert (result.outcome, result.exit_code) == ("failed", 1)
        assert "only built under bubblewrap" in result.message
        assert list(sandbox.output.iterdir()) == []


# B-05
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sphinx", {"directory": "../x"}),
        ("sphinx", {"directory": "/etc"}),
        ("sphinx", {"strict": "yes"}),
        ("sphinx", {"script": "build"}),
        pytest.param("npm", {"script": "--help"}, marks=needs_node),
        pytest.param("npm", {"script": "a;b"}, marks=needs_node),
        pytest.param("npm", {"script": ""}, marks=needs_node),
        pytest.param("npm", {"directory": "a/../.."}, marks=needs_node),
    ],
)
def test_builder_with_code__odd_options__are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(BuilderOptionsInvalid):
        get_builder(name).validate_options(options)


# B-05
@pytest.mark.parametrize("name", ["sphinx", pytest.param("npm", marks=needs_node)])
def test_builder_with_code__source_without_its_file__is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SiteConfigurationRefused):
        get_builder(name).prepare(tmp_path, tmp_path / "output", {})
