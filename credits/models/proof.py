"""What the reconciler leaves: daily statements, and accounts it has frozen."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now, NullIf

from credits.models.account import Account
from jobs.models.tenant import TenantManager


class Statement(models.Model):
    """How all accounts stood at the end of a day (UTC), chained to the day before by hash.

    Written by `credits_write_statement` from entries alone; never changed and never removed.
    `digest` is over one line per account, so that a day can be worked out again and compared.
    Units: whole credits.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    number = models.BigIntegerField(unique=True)
    # NULL for the first statement alone.
    previous_number = models.GeneratedField(
        expression=NullIf(F("number"), Value(0)) - Value(1),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    day = models.DateField(unique=True)
    accounts = models.BigIntegerField()
    entries = models.BigIntegerField()
    balance = models.BigIntegerField()
    reserved = models.BigIntegerField()
    issued = models.BigIntegerField()
    charged = models.BigIntegerField()
    lapsed = models.BigIntegerField()
    drifting = models.BigIntegerField()
    digest = models.TextField()
    previous_hash = models.TextField()
    hash = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="credits_statement_link", fields=["number", "hash"]),
            models.CheckConstraint(
                name="credits_statement_books_cancel",
                condition=Q(balance=F("issued") - F("charged") - F("lapsed")),
            ),
        ]

    def __str__(self) -> str:
        return f"statement of {self.day}"


class Freeze(models.Model):
    """An account whose rows contradict each other: nothing is charged on it until it is lifted.

    `findings` is a list of {"rule", "subject", "expected", "found", "difference"}. Made by the
    reconciler, lifted by an operator with a reason, once; never removed.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="freezes")
    findings = models.JSONField()
    frozen_at = models.DateTimeField(db_default=Now(), editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.TextField(default="", db_default="", blank=True)
    lift_reason = models.TextField(default="", db_default="", blank=True)

    objects = TenantManager("account__organization_id")

    class Meta:
        permissions = [("lift_freeze", "Can lift the freeze of a credit account")]
        constraints = [
            models.UniqueConstraint(
                name="credits_freeze_one_open",
                fields=["account"],
                condition=Q(lifted_at__isnull=True),
            ),
            models.CheckConstraint(
                name="credits_freeze_lifted_by_somebody",
                condition=Q(lifted_at__isnull=True, lifted_by="", lift_reason="")
                | (Q(lifted_at__isnull=False) & ~Q(lifted_by="") & ~Q(lift_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return f"freeze of {self.account_id}"
