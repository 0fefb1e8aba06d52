"""ASGI entry: what streams."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from config.serving import settle
from flagship.checks import refuse_to_serve
from flagship.middleware.asgi import AnswersAll, ReadableContentType, UnreadLargeBodies
from jobs.clients.wall import close_by_default

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = AnswersAll(ReadableContentType(UnreadLargeBodies(get_asgi_application())))
close_by_default()
refuse_to_serve()
settle()
