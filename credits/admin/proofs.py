"""What the reconciler leaves: daily statements, and freezes, which an operator lifts (C-06)."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from credits.admin.forms import say_problems
from credits.admin.reconciliation import read_report
from credits.models import Freeze, Statement
from credits.services import lift_freeze
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment, mono, pretty_json
from jobs.errors import Refusal


class LiftForm(forms.Form):
    """Why the account may be charged again."""

    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to lift a freeze."}
    )


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    """One a day, each with the hash of the one before."""

    list_display = (
        *("day", "number", "accounts", "entries", "balance", "reserved", "charged", "lapsed"),
        "drift",
    )
    ordering = ("-number",)
    fields = (
        *("day", "number", "accounts", "entries", "balance", "reserved", "issued", "charged"),
        *("lapsed", "drift", "digest_code", "previous_code", "hash_code", "written"),
    )
    readonly_fields = ("drift", "digest_code", "previous_code", "hash_code", "written")
    list_before_template = "admin/credits/statement/report.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show what the latest passes found above the list."""
        return super().changelist_view(request, {**(extra_context or {}), "report": read_report()})

    @display(description="Drifting accounts", ordering="drifting")
    def drift(self, statement: Statement) -> SafeString:
        """How many accounts contradicted their entries when it was written."""
        return badge(str(statement.drifting), "danger" if statement.drifting else "success")

    @display(description="Digest of all accounts")
    def digest_code(self, statement: Statement) -> SafeString | str:
        """SHA-256 over one line per account."""
        return mono(statement.digest)

    @display(description="Hash of the statement before")
    def previous_code(self, statement: Statement) -> SafeString | str:
        """What chains it."""
        return mono(statement.previous_hash)

    @display(description="Hash")
    def hash_code(self, statement: Statement) -> SafeString | str:
        """SHA-256 over all of the above."""
        return mono(statement.hash)

    @display(description="Written")
    def written(self, statement: Statement) -> SafeString | str:
        """When."""
        return moment(statement.created_at)


@admin.register(Freeze)
class FreezeAdmin(ReadOnlyAdmin):
    """Accounts that nothing is charged on; lifting is the one thing an operator may do."""

    list_display = ("organization", "account_link", "frozen", "lifted", "lifted_by", "standing")
    list_filter: ClassVar = (("lifted_at", admin.EmptyFieldListFilter),)
    search_fields = ("account__organization__name",)
    search_help_text = "Account or organization id, organization"
    search_ids: ClassVar = {"acct": ("account_id",), "org": ("account__organization_id",)}
    ordering = ("-id",)
    list_select_related = ("account__organization",)
    list_display_links = ("frozen",)
    fields = (
        *("organization", "account_link", "standing", "frozen", "lifted", "lifted_by"),
        *("lift_reason", "findings_text"),
    )
    readonly_fields = (
        *("organization", "account_link", "standing", "frozen", "lifted", "findings_text"),
    )
    change_form_outer_after_template = "admin/credits/freeze/lift.html"

    def name_of(self, freeze: Freeze) -> str:
        """Whose account, and since when."""
        return f"{freeze.account.organization.name}, {freeze.frozen_at:%Y-%m-%d %H:%M}"

    def has_lift_permission(self, request: HttpRequest) -> bool:
        """May this operator lift a freeze?"""
        return bool(request.user.has_perm("credits.lift_freeze"))

    def get_urls(self) -> list[URLPattern]:
        """Add the action; it exists for POST only."""
        lift = self.admin_site.admin_view(require_POST(self.lift_view))
        urls: list[URLPattern] = super().get_urls()
        return [path("<int:object_id>/lift/", lift, name="credits_freeze_lift"), *urls]

    def lift_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Lift this freeze for the reason given."""
        if not self.has_lift_permission(request):
            raise PermissionDenied
        form = LiftForm(request.POST)
        if form.is_valid():
            self._lift(request, object_id, form.cleaned_data["reason"])
        else:
            say_problems(request, form)
        return HttpResponseRedirect(reverse("admin:credits_freeze_change", args=[object_id]))

    def _lift(self, request: HttpRequest, object_id: int, reason: str) -> None:
        """Call the service and say what came of it."""
        try:
            with transaction.atomic():
                lift_freeze(freeze_id=object_id, actor=operator_of(request), reason=reason)
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
        else:
            messages.success(request, "Lifted. The same findings do not freeze it again.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Say whether this operator may lift it."""
        is_open = context["original"].lifted_at is None
        context["may_lift"] = is_open and self.has_lift_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Organization", ordering="account__organization__name")
    def organization(self, freeze: Freeze) -> SafeString | str:
        """Whose account it is."""
        owner = freeze.account.organization
        return subjects.link("organization", owner.pk, owner.name)

    @display(description="Account")
    def account_link(self, freeze: Freeze) -> SafeString | str:
        """The account."""
        return subjects.link("account", freeze.account_id)

    @display(description="Frozen", ordering="frozen_at")
    def frozen(self, freeze: Freeze) -> SafeString | str:
        """Since when."""
        return moment(freeze.frozen_at)

    @display(description="Lifted", ordering="lifted_at")
    def lifted(self, freeze: Freeze) -> SafeString | str:
        """Until when."""
        return moment(freeze.lifted_at)

    @display(description="Findings")
    def findings_text(self, freeze: Freeze) -> SafeString | str:
        """What contradicts what."""
        return pretty_json(freeze.findings)

    @display(description="State", ordering="lifted_at")
    def standing(self, freeze: Freeze) -> SafeString:
        """Frozen or lifted."""
        return badge("lifted") if freeze.lifted_at else badge("frozen", "danger")
