"""Ledger entries, read-only: one is undone by another, never changed (C-04, C-07)."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from credits.admin.forms import say_problems
from credits.models import Entry
from credits.services import reverse_entry
from credits.states import MAX_AMOUNT_CREDITS, REVERSIBLE
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment
from jobs.admin.filters import AgeFilter
from jobs.errors import Refusal
from jobs.ids import new_id

TONES: Final = {
    **{"grant": "success", "reserve": "info", "commit": "warning"},
    **{"expire": "danger", "lapse": "danger", "reversal": "warning"},
}


class ReverseForm(forms.Form):
    """How much is undone, and why; the reference makes a form sent twice one reversal."""

    amount = forms.IntegerField(required=False, min_value=1, max_value=MAX_AMOUNT_CREDITS)
    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to reverse an entry."}
    )
    reference = forms.CharField(max_length=100)


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
        "lapsed_delta",
        "reservation_link",
        "hold",
        "priority",
        "lapses",
        "original_link",
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
        "lapses",
        "original_link",
        "created",
    )
    change_form_outer_after_template = "admin/credits/entry/reverse.html"

    def name_of(self, entry: Entry) -> str:
        """Whose, which of its chain and what it did."""
        return f"{entry.account.organization.name} #{entry.seq} {entry.kind}"

    def has_reverse_permission(self, request: HttpRequest) -> bool:
        """May this operator reverse an entry?"""
        return bool(request.user.has_perm("credits.reverse_entry"))

    def get_urls(self) -> list[URLPattern]:
        """Add the action; it exists for POST only."""
        reverse_it = self.admin_site.admin_view(require_POST(self.reverse_view))
        urls: list[URLPattern] = super().get_urls()
        return [path("<int:object_id>/reverse/", reverse_it, name="credits_entry_reverse"), *urls]

    def reverse_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Undo this entry by a new one, for the reason given."""
        if not self.has_reverse_permission(request):
            raise PermissionDenied
        form = ReverseForm(request.POST)
        if form.is_valid():
            self._reverse(request, object_id, form.cleaned_data)
        else:
            say_problems(request, form)
        return HttpResponseRedirect(reverse("admin:credits_entry_change", args=[object_id]))

    def _reverse(self, request: HttpRequest, object_id: int, given: dict[str, Any]) -> None:
        """Call the service and say what came of it."""
        entry = get_object_or_404(Entry.objects.select_related("account"), pk=object_id)
        try:
            with transaction.atomic():
                done = reverse_entry(
                    organization_id=entry.account.organization_id,
                    entry_seq=entry.seq,
                    amount_credits=given["amount"],
                    reason=given["reason"],
                    reference=f"console:{given['reference']}",
                    actor=operator_of(request),
                )
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message} {refusal.data or ''}")
        else:
            told = f"Reversed {done.reversed_credits:,} credits by entry #{done.entry_seq}."
            messages.success(request, told)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer the reversal of what can be reversed."""
        entry: Entry = context["original"]
        can_be = entry.kind in REVERSIBLE and entry.balance_delta != 0
        context["may_reverse"] = can_be and self.has_reverse_permission(request)
        context["reference"] = new_id().hex
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Lapses")
    def lapses(self, entry: Entry) -> SafeString | str:
        """Until when a grant can be used."""
        return moment(entry.lapses_at)

    @display(description="About")
    def original_link(self, entry: Entry) -> SafeString | str:
        """The grant that lapsed, the grant or charge that was reversed."""
        if entry.original_seq is None:
            return "-"
        original = Entry.objects.get(account_id=entry.account_id, seq=entry.original_seq)
        address = reverse("admin:credits_entry_change", args=[original.pk])
        return format_html(
            '<a class="fs-link" href="{}">#{} {}</a>', address, original.seq, original.kind
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
