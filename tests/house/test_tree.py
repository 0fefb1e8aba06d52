"""The top level, the lock file and the walls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    *("manage.py", "pyproject.toml", "README.md", "config", "flagship", "builds", "credits"),
    *("jobs", "templates", "tests", "Makefile", "requirements.lock", "docs", "bench", "deploy"),
    *("CHANGELOG.md", "LICENSE"),
}
RQ_FAMILY = {"rq": "3.0.0", "django-rq": "4.2.0", "rq-scheduler": "0.14.0", "redis": "8.1.0"}


def tracked() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listing.stdout.splitlines()


def test_top_level__as_tracked__is_the_owners_card() -> None:
    top = {path.split("/", 1)[0] for path in tracked()}

    assert {entry for entry in top if not entry.startswith(".")} == TOP_LEVEL
    assert ".ci" in top


def test_lock_file__every_package__is_pinned_with_hashes_and_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", lock)
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.M))

    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    assert "index-url" not in lock and "find-links" not in lock
    assert {package: pins[package] for package in RQ_FAMILY} == RQ_FAMILY
    assert pins["django"].startswith("5.2.")


def test_import_contracts__all_five__are_kept() -> None:
    # O-07
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Contracts: 5 kept, 0 broken." in done.stdout, done.stdout


def test_import_contracts__a_planted_violation_of_each_kind__is_seen(tmp_path: Path) -> None:
    # O-07: a proof must be able to see.
    planted = {
        "jobs/selectors.py": "import builds.states\n",
        "credits/helpers.py": "",
        "builds/services/planted.py": "import rq\n",
        "builds/states.py": "import builds.services\n",
    }
    copy = tmp_path / "copy"
    copy.mkdir()
    for app in ("config", "builds", "credits", "flagship", "jobs", "pyproject.toml"):
        subprocess.run(["cp", "-r", str(ROOT / app), str(copy)], check=True)
    for path, text in planted.items():
        target = copy / path
        target.parent.mkdir(exist_ok=True)
        with target.open("a") as handle:
            handle.write(text)

    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "4 broken" in done.stdout or "5 broken" in done.stdout, done.stdout


def test_migrations__against_the_models__are_complete() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
