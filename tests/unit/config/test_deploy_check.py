"""Production settings, as Django's own deployment check sees them (research 6.1)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "FLAGSHIP_SECRET_KEY": "only-for-a-test-0123456789abcdef-0123456789abcdef-0123456789",
    "PUBLIC_URL": "https://flagship.example",
    "ALLOWED_HOSTS": "flagship.example",
    "SECURE_COOKIES": "true",
}


def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **PRODUCTION, **changed},
        capture_output=True,
        text=True,
        check=False,
    )


def check(**changed: str) -> tuple[int, set[str]]:
    """Run the deployment check; return its exit code and what it found."""
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **changed)
    return done.returncode, set(re.findall(r"\((\w+\.[EW]\d+)\)", done.stdout + done.stderr))


def test_production__checked_for_deployment__is_clean() -> None:
    # O-08
    assert check() == (0, set())


def test_production__without_tls_or_with_debug__is_not() -> None:
    # O-08: a proof must be able to see.
    plain = {"security.W004", "security.W008", "security.W010", "security.W016"}

    assert check(SECURE_COOKIES="false") == (1, plain)
    assert check(DEBUG="true", HSTS_SUBDOMAINS="false") == (1, {"security.W005", "security.W018"})


def test_cookies__behind_tls__are_bound_to_the_host() -> None:
    # F-01
    names = "SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.SESSION_COOKIE_SECURE"
    code = f"import config.settings as settings; print(settings.{names})"

    assert run("-c", code).stdout.split() == ["__Host-sessionid", "__Host-csrftoken", "True"]
    plain = run("-c", code, SECURE_COOKIES="false")
    assert plain.stdout.split() == ["sessionid", "csrftoken", "False"]


def test_report_address__that_would_end_the_rule__is_refused() -> None:
    # E-08
    done = run("-c", "import config.settings", CSP_REPORT_URL="https://a.example; script-src *")

    assert done.returncode == 1
    assert "CSP_REPORT_URL" in done.stderr
