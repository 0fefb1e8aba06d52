"""ASGI entry: what streams."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from flagship.middleware.asgi import UnreadLargeBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = UnreadLargeBodies(get_asgi_application())
