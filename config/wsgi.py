"""WSGI entry: the API and the console."""

from __future__ import annotations

import os

import django

from config.serving import begin, settle
from flagship.checks import refuse_to_serve
from flagship.middleware.wsgi import Handler, ReadableContentType
from jobs.clients.wall import close_by_default

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
begin()
django.setup(set_prefix=False)
application = ReadableContentType(Handler())
close_by_default()
refuse_to_serve()
settle()
