"""Credits held for one purpose."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from credits.models.account import Account
from credits.states import MAX_AMOUNT_CREDITS, RESERVATION_LIFE_MAX_S, ReservationState
from jobs.ids import new_id
from jobs.models.tenant import TenantManager


class Reservation(models.Model):
    """A hold on part of an account; resolves once: committed, released or expired.

    Written by the functions and triggers of the ledger alone; only the expiry of a live hold may
    move, and only forward. The subject is a type and an id of the caller's, opaque here.
    `renews` is set where a late commit took its credits by a new hold (C-03). Never deleted.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="reservations")
    amount = models.BigIntegerField()
    state = models.TextField(
        choices=ReservationState, default=ReservationState.HELD, db_default=ReservationState.HELD
    )
    subject_type = models.TextField()
    subject_id = models.TextField()
    user_id = models.TextField(default="", db_default="", blank=True)
    reference = models.TextField(default="", db_default="", blank=True)
    renews = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="renewal"
    )
    charged = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager("account__organization_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_reservation_amount_in_range",
                condition=Q(amount__gte=1, amount__lte=MAX_AMOUNT_CREDITS),
            ),
            models.CheckConstraint(
                name="credits_reservation_state_known",
                condition=Q(state__in=ReservationState.values),
            ),
            models.CheckConstraint(
                name="credits_reservation_resolved_at_agrees",
                condition=Q(state=ReservationState.HELD, resolved_at__isnull=True)
                | (~Q(state=ReservationState.HELD) & Q(resolved_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="credits_reservation_charged_agrees",
                condition=Q(state=ReservationState.COMMITTED, charged__isnull=False, charged__gte=0)
                | (~Q(state=ReservationState.COMMITTED) & Q(charged__isnull=True)),
            ),
            models.CheckConstraint(
                name="credits_reservation_expires_later",
                condition=Q(expires_at__gt=F("created_at")),
            ),
            # Also against "infinity": no hold keeps credits for ever.
            models.CheckConstraint(
                name="credits_reservation_life_bounded",
                condition=Q(
                    expires_at__lte=F("created_at") + timedelta(seconds=RESERVATION_LIFE_MAX_S)
                ),
            ),
            # What the entry's foreign key names: whose reservation, and how much.
            models.UniqueConstraint(
                name="credits_reservation_identity", fields=["id", "account", "amount"]
            ),
            models.UniqueConstraint(
                name="credits_reservation_reference_once",
                fields=["account", "reference"],
                condition=~Q(reference=""),
            ),
        ]
        indexes = [
            models.Index(
                name="credits_reservation_due",
                fields=["expires_at"],
                condition=Q(state=ReservationState.HELD),
            ),
            models.Index(
                name="credits_reservation_held",
                fields=["account", "expires_at"],
                condition=Q(state=ReservationState.HELD),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} credits for {self.subject_type} {self.subject_id}"
