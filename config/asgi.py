"""ASGI entry: what streams."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from config.serving import begin, settle
from flagship.checks import refuse_to_serve
from flagship.middleware.asgi import AnswersAll, ReadableContentType, UnreadLargeBodies
from jobs.clients.wall import close_by_default
from jobs.worker.database import use_pool

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
begin()
application = AnswersAll(ReadableContentType(UnreadLargeBodies(get_asgi_application())))
close_by_default()
# Every request here has a thread of its own: opening a connection would be most of what it costs.
use_pool(settings.STREAMS_DB_CONNECTIONS, wait_s=5.0)
refuse_to_serve()
settle()
