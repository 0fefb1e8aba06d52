"""What drills leave behind."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Effect(models.Model):
    """One effect of one run. Nothing keeps a key from coming twice: tests count."""

    # Some routes of the suite write them for a client.
    TENANT_WRITES: ClassVar[bool] = True

    key = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.key
