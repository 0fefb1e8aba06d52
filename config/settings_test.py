"""What tests change: nothing that a test is about."""

from __future__ import annotations

import os

# Every request is counted, and none refused unless a test says so.
for _policy in ("IP", "ORGANIZATION", "KEY", "USER", "SITE"):
    os.environ.setdefault(f"RATE_LIMIT_{_policy}", "9000000/60")

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "only-for-tests-" + "x" * 40
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [*INSTALLED_APPS, "tests.drills"]  # noqa: F405
