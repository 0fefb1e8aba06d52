"""Settings come from the environment, and speak up at once about all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def load_settings(expression: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import config.settings as settings; print({expression})"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_settings__several_bad_variables__are_reported_together() -> None:
    done = load_settings("1", DATABASE_URL="nonsense", WORKER_SLOTS="many", DEBUG="perhaps")

    assert done.returncode != 0
    for name in ("DATABASE_URL", "WORKER_SLOTS", "DEBUG"):
        assert name in done.stderr.splitlines()[-1]


def test_settings__of_limits_and_proxies__are_checked() -> None:
    bad = {"RATE_LIMIT_KEY": "fast", "RATE_LIMIT_IP": "0/60", "TRUSTED_PROXIES": "10.0.0.1/24"}
    done = load_settings("1", **bad, RATE_LIMIT_PROCESSES="0")

    assert done.returncode != 0
    for name in (*bad, "RATE_LIMIT_PROCESSES"):
        assert name in done.stderr.splitlines()[-1]
    good = load_settings(
        "settings.TRUSTED_PROXIES, settings.RATE_LIMIT_KEY",
        **{"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/24", "RATE_LIMIT_KEY": "off"},
    )
    assert good.stdout.strip() == "['127.0.0.1', '10.0.0.0/24'] off"


def test_settings__empty_addresses__count_as_unset(tmp_path: Path) -> None:
    done = load_settings(
        "settings.DATABASES['default']['HOST'], settings.REDIS_URL",
        DATABASE_URL="",
        REDIS_URL="",
        FLAGSHIP_HOME=str(tmp_path),
    )

    assert done.stdout.strip() == "127.0.0.1 redis://127.0.0.1:1/0"


def test_settings__system_running_from_the_home__is_the_one_spoken_of(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text('{"PUBLIC_URL": "http://127.0.0.1:8123"}')

    done = load_settings("settings.PUBLIC_URL", PUBLIC_URL="", FLAGSHIP_HOME=str(tmp_path))

    assert done.stdout.strip() == "http://127.0.0.1:8123"
