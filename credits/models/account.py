"""The account of an organization."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager


class Account(models.Model):
    """The five books of one organization, each the sum of the account's entries.

    Moved by the entry trigger alone, one entry at a time: a deferred foreign key and the trigger
    `credits_account_moves_with_entry` both tie (last_seq, balance, reserved) to the latest entry.
    Never deleted. Units: whole credits.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.OneToOneField(
        "flagship.Organization", on_delete=models.PROTECT, related_name="credit_account"
    )
    balance = models.BigIntegerField(default=0, db_default=0)
    reserved = models.BigIntegerField(default=0, db_default=0)
    issued = models.BigIntegerField(default=0, db_default=0)
    charged = models.BigIntegerField(default=0, db_default=0)
    lapsed = models.BigIntegerField(default=0, db_default=0)
    last_seq = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager()

    class Meta:
        permissions = [("grant_credits", "Can grant credits to an account")]
        constraints = [
            models.CheckConstraint(
                name="credits_account_balance_not_negative", condition=Q(balance__gte=0)
            ),
            models.CheckConstraint(
                name="credits_account_reserved_in_balance",
                condition=Q(reserved__gte=0, reserved__lte=F("balance")),
            ),
            models.CheckConstraint(
                name="credits_account_books_cancel",
                condition=Q(
                    balance=F("issued") - F("charged") - F("lapsed"),
                    issued__gte=0,
                    charged__gte=0,
                    lapsed__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="credits_account_last_seq_not_negative", condition=Q(last_seq__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"account of {self.organization_id}"
