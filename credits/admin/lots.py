"""What each grant has left, read-only: entries alone draw on it (C-07)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.decorators import display

from credits.models import Draw, Lot
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment

DRAWS_SHOWN = 50


@admin.register(Lot)
class LotAdmin(ReadOnlyAdmin):
    """Grants: on which terms, and how much of each is left."""

    list_display = (
        *("position", "organization", "amount", "remaining", "priority", "lapses", "created"),
        "standing",
    )
    search_fields = ("account__organization__name",)
    search_help_text = "Account or organization id, organization"
    search_ids: ClassVar = {"acct": ("account_id",), "org": ("account__organization_id",)}
    ordering = ("-id",)
    list_select_related = ("account__organization",)
    fields = (
        *("position", "organization", "account_link", "standing", "amount", "remaining"),
        *("priority", "lapses", "created"),
    )
    readonly_fields = (
        *("position", "organization", "account_link", "standing", "lapses", "created"),
    )
    change_form_outer_after_template = "admin/credits/lot/draws.html"

    def name_of(self, lot: Lot) -> str:
        """Whose, and which of its grants."""
        return f"{lot.account.organization.name}, grant #{lot.seq}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the latest draws."""
        lot: Lot = context["original"]
        draws = Draw.objects.filter(account_id=lot.account_id, lot_seq=lot.seq)
        context.update(draws=draws.order_by("-number")[:DRAWS_SHOWN], shown=DRAWS_SHOWN)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Grant", ordering="seq")
    def position(self, lot: Lot) -> str:
        """The number of its entry."""
        return f"#{lot.seq}"

    @display(description="Organization", ordering="account__organization__name")
    def organization(self, lot: Lot) -> SafeString | str:
        """Whose it is."""
        owner = lot.account.organization
        return subjects.link("organization", owner.pk, owner.name)

    @display(description="Account")
    def account_link(self, lot: Lot) -> SafeString | str:
        """The account it was granted to."""
        return subjects.link("account", lot.account_id)

    @display(description="Lapses", ordering="lapses_at")
    def lapses(self, lot: Lot) -> SafeString | str:
        """Until when it can be used."""
        return moment(lot.lapses_at, empty="never")

    @display(description="Granted", ordering="created_at")
    def created(self, lot: Lot) -> SafeString | str:
        """When it was granted."""
        return moment(lot.created_at)

    @display(description="State")
    def standing(self, lot: Lot) -> SafeString:
        """Active, used up, or past its time: what holds need of it has not lapsed yet."""
        if not lot.remaining:
            return badge("used up")
        if lot.lapses_at and lot.lapses_at < datetime.now(UTC):
            return badge("overdue", "danger")
        return badge("active")
