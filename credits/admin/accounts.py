"""Accounts, read-only: the balance is moved by entries alone (C-07)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from credits.models import Account, Entry
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono
from jobs.ids import public_id

PREFIX = "acct"
LATEST = 20
subjects.register(subjects.Subject("account", prefix=PREFIX, model="credits.account"))


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """What each organization has, holds and has used."""

    list_display = (
        "organization_link",
        "available_credits",
        "reserved",
        "balance",
        "charged",
        "issued",
        "last_seq",
    )
    list_display_links = ("available_credits",)
    search_fields = ("organization__name", "organization__slug")
    search_help_text = "Organization, its id or the account's"
    search_ids: ClassVar = {PREFIX: ("pk",), "org": ("organization_id",)}
    ordering = ("organization__name",)
    list_select_related = ("organization",)
    fields = (
        "organization_link",
        "public",
        "available_credits",
        "reserved",
        "balance",
        "charged",
        "issued",
        "last_seq",
        "created",
        "everything",
    )
    readonly_fields = ("organization_link", "public", "available_credits", "created", "everything")
    change_form_outer_after_template = "admin/credits/account/entries.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Add what can be spent."""
        rows: QuerySet[Account] = super().get_queryset(request)
        return rows.annotate(available=F("balance") - F("reserved"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the latest entries."""
        entries = Entry.objects.filter(account_id=context["original"].pk)
        context["entries"] = entries.order_by("-seq")[:LATEST]
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, account: Account) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", account.organization_id, account.organization.name)

    @display(description="Available", ordering="available")
    def available_credits(self, account: Any) -> str:
        """What can be spent: the balance without what is held."""
        return f"{account.available:,}"

    @display(description="Id")
    def public(self, account: Account) -> SafeString | str:
        """Id as audit events know it."""
        return mono(public_id(PREFIX, account.pk))

    @display(description="Opened")
    def created(self, account: Account) -> SafeString | str:
        """When it was opened."""
        return moment(account.created_at)

    @display(description="History")
    def everything(self, account: Account) -> SafeString:
        """Where all its entries and reservations are."""
        query = f"?q={account.pk}"
        return format_html(
            '<a class="fs-link" href="{}">entries</a> · '
            '<a class="fs-link" href="{}">reservations</a>',
            reverse("admin:credits_entry_changelist") + query,
            reverse("admin:credits_reservation_changelist") + query,
        )
