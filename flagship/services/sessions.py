"""Logins to the console that are over."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.db.models.functions import Now


def prune_sessions() -> int:
    """Delete the rows of sessions that have ended, which Django keeps; return how many."""
    deleted, _ = Session.objects.filter(expire_date__lt=Now()).delete()
    return deleted
