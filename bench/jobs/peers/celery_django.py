# mypy: ignore-errors
"""The least Django that django-celery-results needs."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

_url = urlsplit(os.environ["BENCH_DSN"])
SECRET_KEY = "only-for-benchmarks"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path[1:],
        "USER": _url.username,
        "PASSWORD": _url.password,
        "HOST": _url.hostname,
        "PORT": _url.port,
        "CONN_MAX_AGE": None,
    }
}
