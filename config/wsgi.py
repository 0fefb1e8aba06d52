"""WSGI entry: the API and the console."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from config.serving import begin, settle
from flagship.checks import refuse_to_serve
from flagship.middleware.wsgi import ReadableContentType
from jobs.clients.wall import close_by_default

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
begin()
application = ReadableContentType(get_wsgi_application())
close_by_default()
refuse_to_serve()
settle()
