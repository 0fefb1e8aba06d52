"""Ledger entries, read-only: the database refuses every change (C-04, C-07)."""

from __future__ import annotations

from typing import ClassVar, Final

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from credits.models import Entry
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment
from jobs.admin.filters import AgeFilter

TONES: Final = {"grant": "success", "reserve": "info", "commit": "warning", "expire": "danger"}


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Every movement of every account, in order."""

    list_display = (
        "position",
        "organization",
        "kind_badge",
        "balance_move",
        "reserved_move",
        "reservation_link",
        "created",
    )
    list_filter: ClassVar = ("kind", AgeFilter)
    search_fields = ("reference__exact", "account__organization__name")
    search_help_text = "Account, reservation or organization id, reference, organization"
    search_ids: ClassVar = {
        "acct": ("account_id",),
        "res": ("reservation_id",),
        "org": ("account__organization_id",),
    }
    ordering = ("-id",)
    list_select_related = ("account__organization",)
    fields = (
        "position",
        "organization",
        "account_link",
        "kind_badge",
        "balance_move",
        "reserved_move",
        "issued_delta",
        "charged_delta",
        "reservation_link",
        "hold",
        "reason",
        "reference",
        "created",
    )
    readonly_fields = (
        "position",
        "organization",
        "account_link",
        "kind_badge",
        "balance_move",
        "reserved_move",
        "reservation_link",
        "created",
    )

    @display(description="Entry", ordering="seq")
    def position(self, entry: Entry) -> str:
        """Its place in the account's chain."""
        return f"#{entry.seq}"

    @display(description="Organization", ordering="account__organization__name")
    def organization(self, entry: Entry) -> SafeString | str:
        """Whose account moved."""
        owner = entry.account.organization
        return subjects.link("organization", owner.pk, owner.name)

    @display(description="Account")
    def account_link(self, entry: Entry) -> SafeString | str:
        """The account that moved."""
        return subjects.link("account", entry.account_id)

    @display(description="Kind", ordering="kind")
    def kind_badge(self, entry: Entry) -> SafeString:
        """What it did."""
        return badge(entry.kind, TONES.get(entry.kind, "default"))

    @display(description="Balance")
    def balance_move(self, entry: Entry) -> str:
        """How the balance moved, and to what."""
        return f"{entry.balance_delta:+,} = {entry.balance_after:,}"

    @display(description="Reserved")
    def reserved_move(self, entry: Entry) -> str:
        """How the held part moved, and to what."""
        return f"{entry.reserved_delta:+,} = {entry.reserved_after:,}"

    @display(description="Reservation")
    def reservation_link(self, entry: Entry) -> SafeString | str:
        """The hold it made or resolved."""
        return subjects.link("reservation", entry.reservation_id)

    @display(description="When", ordering="created_at")
    def created(self, entry: Entry) -> SafeString | str:
        """When it was written."""
        return moment(entry.created_at)
