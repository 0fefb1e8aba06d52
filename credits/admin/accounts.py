"""Accounts, read-only: the balance is moved by entries alone (C-07)."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import display

from credits.admin.balances import RANGES, balance_chart, days_of
from credits.admin.forms import say_problems
from credits.models import Account, Entry, Freeze, Lot
from credits.selectors import csv_blocks, json_blocks
from credits.services import grant_credits
from credits.states import MAX_AMOUNT_CREDITS, PRIORITY_DEFAULT, PRIORITY_MAX
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment, mono
from jobs.errors import Refusal
from jobs.ids import new_id, public_id

PREFIX = "acct"
LATEST = 20
STATEMENTS: Final = {
    "csv": (csv_blocks, "text/csv; charset=utf-8"),
    "jsonl": (json_blocks, "application/x-ndjson"),
}
subjects.register(subjects.Subject("account", prefix=PREFIX, model="credits.account"))


class GrantForm(forms.Form):
    """What is granted, on which terms; the reference makes a form sent twice one grant."""

    amount = forms.IntegerField(min_value=1, max_value=MAX_AMOUNT_CREDITS)
    priority = forms.IntegerField(min_value=0, max_value=PRIORITY_MAX)
    lapses_at = forms.DateTimeField(required=False)
    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to grant credits."}
    )
    reference = forms.CharField(max_length=100)


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
        "standing",
    )
    list_display_links = ("available_credits",)
    search_fields = ("organization__name", "organization__slug")
    search_help_text = "Organization, its id or the account's"
    search_ids: ClassVar = {PREFIX: ("pk",), "org": ("organization_id",)}
    ordering = ("organization__name",)
    list_select_related = ("organization",)
    fields = (
        ("organization_link", "public"),
        ("available_credits", "standing"),
        ("balance", "reserved"),
        ("issued", "charged"),
        ("lapsed", "last_seq"),
        "created",
        "everything",
    )
    readonly_fields = (
        *("organization_link", "public", "available_credits", "standing", "created"),
        "everything",
    )
    change_form_outer_after_template = "admin/credits/account/entries.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Add what can be spent, and whether it is frozen."""
        frozen = Freeze.objects.filter(account=OuterRef("pk"), lifted_at__isnull=True)
        rows: QuerySet[Account] = super().get_queryset(request)
        return rows.annotate(available=F("balance") - F("reserved"), is_frozen=Exists(frozen))

    def name_of(self, account: Account) -> str:
        """Whose it is."""
        return account.organization.name

    def has_grant_permission(self, request: HttpRequest) -> bool:
        """May this operator grant credits?"""
        return bool(request.user.has_perm("credits.grant_credits"))

    def get_urls(self) -> list[URLPattern]:
        """Add the grant, for POST only, and the statement's two forms."""
        wrap = self.admin_site.admin_view
        return [
            path(
                "<uuid:object_id>/grant/",
                wrap(require_POST(self.grant_view)),
                name="credits_account_grant",
            ),
            path(
                "<uuid:object_id>/statement.<str:form>",
                wrap(require_GET(self.statement_view)),
                name="credits_account_statement",
            ),
            *super().get_urls(),
        ]

    def grant_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Grant credits to this account, for the reason given."""
        if not self.has_grant_permission(request):
            raise PermissionDenied
        form = GrantForm(request.POST)
        if form.is_valid():
            self._grant(request, object_id, form.cleaned_data)
        else:
            say_problems(request, form)
        return HttpResponseRedirect(reverse("admin:credits_account_change", args=[object_id]))

    def _grant(self, request: HttpRequest, object_id: uuid.UUID, given: dict[str, Any]) -> None:
        """Call the service and say what came of it."""
        account = get_object_or_404(Account, pk=object_id)
        try:
            with transaction.atomic():
                done = grant_credits(
                    organization_id=account.organization_id,
                    amount_credits=given["amount"],
                    priority=given["priority"],
                    lapses_at=given["lapses_at"],
                    reason=given["reason"],
                    reference=f"console:{given['reference']}",
                    actor=operator_of(request),
                )
        except (Refusal, ValueError) as refusal:
            messages.warning(request, f"Nothing done: {refusal}")
        else:
            messages.success(request, f"Granted {done.amount_credits:,} credits.")

    def statement_view(
        self, request: HttpRequest, object_id: uuid.UUID, form: str
    ) -> StreamingHttpResponse:
        """Stream the account's ledger, oldest first."""
        if form not in STATEMENTS:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        account = get_object_or_404(Account, pk=object_id)
        blocks, media_type = STATEMENTS[form]
        response = StreamingHttpResponse(
            blocks(organization_id=account.organization_id), content_type=media_type
        )
        response["Content-Disposition"] = f'attachment; filename="statement-{object_id}.{form}"'
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the latest entries, what each grant has left, and the form of a new one."""
        account_id = context["original"].pk
        context["entries"] = Entry.objects.filter(account_id=account_id).order_by("-seq")[:LATEST]
        lots = Lot.objects.filter(account_id=account_id, remaining__gt=0)
        context["lots"] = lots.order_by("priority", F("lapses_at").asc(nulls_last=True), "seq")
        days = days_of(request.GET.get("days", ""))
        chart = balance_chart(context["original"], days)
        context.update(days=days, ranges=RANGES, balance_chart=chart)
        context["may_grant"] = self.has_grant_permission(request)
        context.update(reference=new_id().hex, priority=PRIORITY_DEFAULT)
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
            '<a class="fs-link" href="{}">reservations</a> · '
            '<a class="fs-link" href="{}">grants</a> · '
            '<a class="fs-link" href="{}">statement as CSV</a> · '
            '<a class="fs-link" href="{}">as JSON lines</a>',
            reverse("admin:credits_entry_changelist") + query,
            reverse("admin:credits_reservation_changelist") + query,
            reverse("admin:credits_lot_changelist") + query,
            *(
                reverse("admin:credits_account_statement", args=[account.pk, form])
                for form in STATEMENTS
            ),
        )

    @display(description="State")
    def standing(self, account: Any) -> SafeString:
        """Active, or frozen by the reconciler."""
        return badge("frozen", "danger") if account.is_frozen else badge("active")
