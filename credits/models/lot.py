"""What each grant has left, and which entries drew on it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from credits.models.account import Account
from jobs.models.tenant import TenantManager


class Lot(models.Model):
    """The credits of one grant: burnt by priority, then soonest to lapse, then oldest.

    Made by its grant's entry, (account, seq) being that entry's, and moved by draws alone, one at
    a time. The lots of an account together hold exactly its balance: a trigger on every entry that
    moves the balance refuses anything else. Units: whole credits. See docs/adr/0012-lots.md.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="lots", db_index=False
    )
    seq = models.BigIntegerField()
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField(default=0, db_default=0)
    draws = models.BigIntegerField(default=0, db_default=0)
    priority = models.SmallIntegerField()
    lapses_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(editable=False)

    objects = TenantManager("account__organization_id")

    class Meta:
        verbose_name = "grant"
        constraints = [
            models.UniqueConstraint(name="credits_lot_of_its_grant", fields=["account", "seq"]),
            models.CheckConstraint(name="credits_lot_amount_positive", condition=Q(amount__gte=1)),
            models.CheckConstraint(
                name="credits_lot_remaining_in_range",
                condition=Q(remaining__gte=0, remaining__lte=F("amount")),
            ),
        ]
        indexes = [
            # The order they are burnt in.
            models.Index(
                name="credits_lot_live",
                fields=["account", "priority", "lapses_at", "seq"],
                condition=Q(remaining__gt=0),
            ),
            models.Index(
                name="credits_lot_due",
                fields=["lapses_at"],
                condition=Q(remaining__gt=0, lapses_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.amount} credits of grant #{self.seq}"


class Draw(models.Model):
    """What one entry moved on one lot: its grant fills it, charges and lapses take, undoing gives.

    Never changed and never removed. The draws of an entry add up to what it moved the balance by;
    those of a lot are numbered without gap, and the lot stands where its last one ends.
    Units: whole credits, negative where taken.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    seq = models.BigIntegerField()
    lot_seq = models.BigIntegerField()
    number = models.BigIntegerField()
    amount = models.BigIntegerField()
    remaining_after = models.BigIntegerField()

    objects = TenantManager("account__organization_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_draw_each_lot_once", fields=["account", "seq", "lot_seq"]
            ),
            models.UniqueConstraint(
                name="credits_draw_number_once", fields=["account", "lot_seq", "number"]
            ),
            models.CheckConstraint(name="credits_draw_moves", condition=~Q(amount=0)),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} moved grant #{self.lot_seq} by {self.amount}"
