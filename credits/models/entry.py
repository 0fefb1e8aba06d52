"""The ledger."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import NullIf

from credits.models.account import Account
from credits.models.reservation import Reservation
from credits.states import (
    ABOUT_EARLIER,
    MAX_AMOUNT_CREDITS,
    PRIORITY_MAX,
    RESOLUTIONS,
    EntryKind,
)
from jobs.models.tenant import TenantManager


def _kind(kind: EntryKind, **books: Any) -> Q:
    """State what an entry of a kind may move; books that are not named stay still."""
    still = {"balance_delta": 0, "reserved_delta": 0}
    still |= {"issued_delta": 0, "charged_delta": 0, "lapsed_delta": 0}
    named = {name.split("__")[0] for name in books}
    rest = {name: value for name, value in still.items() if name not in named}
    return Q(kind=kind, **books, **rest)


_FREE = {"reservation__isnull": True, "hold__isnull": True}
_BOUND = {"reservation__isnull": False, "hold__isnull": False, "hold__gte": 1}


class Entry(models.Model):
    """One movement of an account; never changed and never removed.

    Whoever inserts gives account, kind, reservation, balance_delta, reason and reference, of a
    grant also priority and lapses_at, of a lapse or reversal the entry it is about; the trigger
    `credits_entry_fill` fills in the rest under the account's lock. (account, seq) has no gap, and
    each entry starts from the values its predecessor ended with, by foreign key.
    Units: whole credits.
    """

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    seq = models.BigIntegerField()
    # NULL for the first entry alone, which has nothing before it.
    previous_seq = models.GeneratedField(
        expression=NullIf(F("seq"), Value(0)) - Value(1),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    kind = models.TextField(choices=EntryKind)
    # The foreign key is on (reservation, account, hold), in SQL.
    reservation = models.ForeignKey(
        Reservation,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="entries",
        db_index=False,
        db_constraint=False,
    )
    hold = models.BigIntegerField(null=True, blank=True)
    balance_before = models.BigIntegerField()
    balance_delta = models.BigIntegerField(default=0, db_default=0)
    balance_after = models.BigIntegerField()
    reserved_before = models.BigIntegerField()
    reserved_delta = models.BigIntegerField()
    reserved_after = models.BigIntegerField()
    issued_delta = models.BigIntegerField()
    charged_delta = models.BigIntegerField()
    lapsed_delta = models.BigIntegerField()
    # Terms of the lot that a grant makes: the order it is burnt in, and until when.
    priority = models.SmallIntegerField(null=True, blank=True)
    lapses_at = models.DateTimeField(null=True, blank=True)
    # The grant that lapses, the grant or charge that is undone; a foreign key, in SQL.
    original_seq = models.BigIntegerField(null=True, blank=True)
    reason = models.TextField(default="", db_default="", blank=True)
    reference = models.TextField(default="", db_default="", blank=True)
    created_at = models.DateTimeField(editable=False)

    objects = TenantManager("account__organization_id")

    class Meta:
        verbose_name_plural = "entries"
        permissions = [("reverse_entry", "Can reverse a grant or a charge")]
        constraints = [
            models.UniqueConstraint(name="credits_entry_seq_once", fields=["account", "seq"]),
            # What the account and the next entry point at.
            models.UniqueConstraint(
                name="credits_entry_link",
                fields=["account", "seq", "balance_after", "reserved_after"],
            ),
            # One reserve, and at most one each of the others.
            models.UniqueConstraint(
                name="credits_entry_each_kind_once",
                fields=["reservation", "kind"],
                condition=Q(reservation__isnull=False),
            ),
            models.UniqueConstraint(
                name="credits_entry_one_resolution",
                fields=["reservation"],
                condition=Q(kind__in=list(RESOLUTIONS)),
            ),
            models.UniqueConstraint(
                name="credits_entry_grant_reference_once",
                fields=["account", "reference"],
                condition=Q(kind=EntryKind.GRANT) & ~Q(reference=""),
            ),
            models.UniqueConstraint(
                name="credits_entry_reversal_reference_once",
                fields=["account", "reference"],
                condition=Q(kind=EntryKind.REVERSAL) & ~Q(reference=""),
            ),
            models.CheckConstraint(
                name="credits_entry_balance_adds_up",
                condition=Q(balance_after=F("balance_before") + F("balance_delta")),
            ),
            models.CheckConstraint(
                name="credits_entry_reserved_adds_up",
                condition=Q(reserved_after=F("reserved_before") + F("reserved_delta")),
            ),
            models.CheckConstraint(
                name="credits_entry_books_cancel",
                condition=Q(
                    balance_delta=F("issued_delta") - F("charged_delta") - F("lapsed_delta")
                ),
            ),
            models.CheckConstraint(
                name="credits_entry_amount_in_range",
                condition=Q(balance_delta__gte=-MAX_AMOUNT_CREDITS)
                & Q(balance_delta__lte=MAX_AMOUNT_CREDITS),
            ),
            models.CheckConstraint(
                name="credits_entry_within_bounds",
                condition=Q(balance_after__gte=0, reserved_after__gte=0)
                & Q(reserved_after__lte=F("balance_after")),
            ),
            models.CheckConstraint(
                name="credits_entry_open_is_first",
                condition=Q(kind=EntryKind.OPEN, seq=0, balance_after=0, reserved_after=0)
                | (~Q(kind=EntryKind.OPEN) & Q(seq__gte=1)),
            ),
            models.CheckConstraint(
                name="credits_entry_grant_has_terms",
                condition=Q(
                    kind=EntryKind.GRANT,
                    priority__isnull=False,
                    priority__gte=0,
                    priority__lte=PRIORITY_MAX,
                )
                & (Q(lapses_at__isnull=True) | Q(lapses_at__gt=F("created_at")))
                | (~Q(kind=EntryKind.GRANT) & Q(priority__isnull=True, lapses_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="credits_entry_original_named",
                condition=Q(
                    kind__in=ABOUT_EARLIER, original_seq__isnull=False, original_seq__lt=F("seq")
                )
                | (~Q(kind__in=ABOUT_EARLIER) & Q(original_seq__isnull=True)),
            ),
            models.CheckConstraint(
                name="credits_entry_kind_moves_its_books",
                condition=_kind(EntryKind.OPEN, **_FREE)
                | _kind(EntryKind.GRANT, **_FREE, balance_delta__gte=1, issued_delta__gte=1)
                | _kind(EntryKind.RESERVE, **_BOUND, reserved_delta=F("hold"))
                | _kind(
                    EntryKind.COMMIT,
                    **_BOUND,
                    balance_delta__lte=0,
                    reserved_delta=-F("hold"),
                    charged_delta__gte=0,
                )
                | _kind(EntryKind.RELEASE, **_BOUND, reserved_delta=-F("hold"))
                | _kind(EntryKind.EXPIRE, **_BOUND, reserved_delta=-F("hold"))
                | _kind(EntryKind.LAPSE, **_FREE, balance_delta__lte=-1, lapsed_delta__gte=1)
                | _kind(EntryKind.REVERSAL, **_FREE, balance_delta__lte=-1, issued_delta__lte=-1)
                | _kind(EntryKind.REVERSAL, **_FREE, balance_delta__gte=1, charged_delta__lte=-1),
            ),
        ]
        indexes = [
            # How the account stood at a time.
            models.Index(name="credits_entry_at", fields=["account", "created_at", "seq"]),
            models.Index(
                name="credits_entry_about",
                fields=["account", "original_seq"],
                condition=Q(original_seq__isnull=False),
            ),
            # A day's entries, for what is added up of them (B-10): they are written in the order
            # of their time, so a few kilobytes over ranges of pages are enough.
            BrinIndex(
                name="credits_entry_created_at_brin",
                fields=["created_at"],
                pages_per_range=32,
                autosummarize=True,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} #{self.seq} {self.kind}"
