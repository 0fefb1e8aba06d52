"""How often somebody has tried to enter the console."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class LoginLimit(models.Model):
    """The tries of one name, one address, or one name from one address (research 6.3).

    A try is counted before its password is looked at and given back when it was right, so that no
    number of tries at once gets past the limit. `subject_hash` covers kind and subject: a password
    typed into the field of the name is not kept. Rows are in PostgreSQL, since brute force must
    not profit from a Redis that is down (research 3.7).
    """

    PAIR, ADDRESS, NAME = "pair", "address", "name"

    subject_hash = models.BinaryField(primary_key=True, max_length=32, editable=False)
    kind = models.CharField(max_length=7, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    refused = models.PositiveIntegerField(default=0, editable=False)
    tried_at = models.DateTimeField(db_default=Now(), editable=False)
    free_at = models.DateTimeField(db_default=Now(), editable=False)
    succeeded_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["pair", "address", "name"]), name="login_limit_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(free_at__gte=models.F("tried_at")), name="login_limit_free_after_try"
            ),
        ]
        indexes = [models.Index(fields=["tried_at"], name="login_limit_tried_idx")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.failures}"
