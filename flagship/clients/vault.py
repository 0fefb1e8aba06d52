"""Secrets at rest: sealed with keys that the database does not hold (E-05)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotUnseal(Exception):
    """No key of ENCRYPTION_KEYS opens it, or it was sealed for another row."""


def seal(secret: bytes, *, subject: uuid.UUID) -> bytes:
    """Encrypt with the first key of ENCRYPTION_KEYS; the subject's id is sealed in with it."""
    return _ring().encrypt(subject.bytes + secret)


def unseal(sealed: bytes | memoryview, *, subject: uuid.UUID) -> bytes:
    """Return the secret.

    Raises: CannotUnseal, also for what was sealed for another subject: a row cannot be given the
    secret of another by copying columns.
    """
    try:
        opened = _ring().decrypt(bytes(sealed))
    except InvalidToken as error:
        raise CannotUnseal(f"the secret of {subject} cannot be read") from error
    if not hmac.compare_digest(opened[:16], subject.bytes):
        raise CannotUnseal(f"the secret of {subject} was sealed for another")
    return opened[16:]


def reseal(sealed: bytes | memoryview) -> bytes:
    """Encrypt anew with the first key.

    Raises: CannotUnseal.
    """
    try:
        return _ring().rotate(bytes(sealed))
    except InvalidToken as error:
        raise CannotUnseal("a secret cannot be read") from error


def _ring() -> MultiFernet:
    keys = [str(key) for key in settings.ENCRYPTION_KEYS]
    return _ring_of(tuple(keys) or (_derived(settings.SECRET_KEY),))


@cache
def _ring_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


@cache
def _derived(secret_key: str) -> str:
    """Return a key made from the secret key, for a system that was given none of its own."""
    key = hmac.digest(secret_key.encode(), b"flagship encryption at rest v1", hashlib.sha256)
    return base64.urlsafe_b64encode(key).decode()
