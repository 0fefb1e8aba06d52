"""What must hold before a process starts."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured

OUTERMOST = "flagship.middleware.request_context.RequestContextMiddleware"
INNERMOST = (
    "flagship.middleware.body_limit.BodyLimitMiddleware",
    "flagship.middleware.api_key.ApiKeyMiddleware",
    "flagship.middleware.rate_limit.RateLimitMiddleware",
    "flagship.middleware.signature.SignatureMiddleware",
    "flagship.middleware.idempotency.IdempotencyMiddleware",
    "flagship.middleware.wall.WallMiddleware",
)
SHORTEST_SECRET = 32


@register(Tags.security)
def check_secret_key(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A system without a secret of its own would sign sessions that anyone can forge."""
    try:
        secret = str(settings.SECRET_KEY)
    except ImproperlyConfigured:
        secret = ""
    if len(secret) >= SHORTEST_SECRET:
        return []
    hint = f"Set FLAGSHIP_SECRET_KEY to at least {SHORTEST_SECRET} random characters."
    return [Error("The secret key is missing or too short.", hint=hint, id="flagship.E001")]


@register(Tags.security)
def check_encryption_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Secrets at rest are sealed with Fernet keys: 32 bytes in URL-safe base64."""
    wrong = [
        number for number, key in enumerate(settings.ENCRYPTION_KEYS, start=1) if not _is_key(key)
    ]
    hint = "Make one with `python -c 'from cryptography.fernet import Fernet as F;"
    hint += " print(F.generate_key().decode())'`."
    told = f"ENCRYPTION_KEYS: not a key: number {', '.join(map(str, wrong))}."
    return [Error(told, hint=hint, id="flagship.E005")] if wrong else []


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == 32
    except ValueError:
        return False


@register()
def check_middleware(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Ids around everything, limits before any work, transactions around the view (DESIGN 4)."""
    order = list(settings.MIDDLEWARE)
    errors: list[CheckMessage] = []
    if order[:1] != [OUTERMOST]:
        errors.append(Error("The request context must come first.", id="flagship.E002"))
    if tuple(order[-len(INNERMOST) :]) != INNERMOST:
        told = (
            "Body limit, API key, rate limit, signature, idempotency and wall must come last, in"
            " this order."
        )
        errors.append(Error(told, id="flagship.E003"))
    return errors


@register()
def check_transactions(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """ATOMIC_REQUESTS would open a savepoint inside the edge's transaction and hide its errors."""
    atomic = [name for name, database in settings.DATABASES.items() if database["ATOMIC_REQUESTS"]]
    if not atomic:
        return []
    told = f"ATOMIC_REQUESTS must be off ({', '.join(atomic)}): the edge opens the transaction."
    return [Error(told, id="flagship.E004")]


@register(Tags.security)
def check_outgoing(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Strangers name URLs: nothing that is not public may be reached by one (DESIGN section 4)."""
    if not settings.OUTGOING_TEST_ADDRESSES:
        return []
    told = (
        "OUTGOING_TEST_ADDRESSES lets whoever may name a URL reach addresses that are not public."
    )
    return [Warning(told, hint="Unset it outside of tests.", id="flagship.W001")]


@register(Tags.security, deploy=True)
def check_wall(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Without the tenant role a selector that forgets whose rows it wants shows all (P24)."""
    if settings.DATABASE_TENANT_ROLE:
        return []
    told = "DATABASE_TENANT_ROLE is empty: no row-level security binds requests."
    return [Warning(told, hint="Create the role; see docs/deploy.md.", id="flagship.W002")]


def refuse_to_serve() -> None:
    """Run every system check, as management commands do by themselves and no web server does.

    Exits with 1 and says why on an error; warnings are `manage.py check --deploy`'s to show. Needs
    no database. For config.wsgi and config.asgi, once the apps are loaded.
    """
    wrong = [
        message for message in run_checks() if message.is_serious() and not message.is_silenced()
    ]
    if wrong:
        told = "\n".join(str(message) for message in wrong)
        sys.exit(f"FlagShip does not start: {len(wrong)} system check(s) failed.\n{told}")
